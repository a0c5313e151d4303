/** What a view keeps of how one looks at it: checked where a page says it and where an earlier session has left it. */
import * as v from 'valibot';
import { VIEW_NAMES, type ViewState } from '../../shared/protocol/host';

/** Views and options of a view; there are a dozen of each. */
const MOST = 100;

const name = v.pipe(v.string(), v.maxLength(100));
const option = v.union([
  v.pipe(v.string(), v.maxLength(2000)),
  v.pipe(v.number(), v.finite()),
  v.boolean(),
  v.null(),
]);

export const viewState: v.GenericSchema<ViewState> = v.object({
  view: v.picklist(VIEW_NAMES),
  options: v.pipe(v.record(name, v.pipe(v.record(name, option), v.maxEntries(MOST))), v.maxEntries(MOST)),
});

export const isViewState = (value: unknown): boolean => v.is(viewState, value);
