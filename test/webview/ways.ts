import { LENS_NAMES } from '../../shared/protocol/engine';
import { VIEW_NAMES, type ViewName, type ViewState } from '../../shared/protocol/host';

/** What a view shows in several ways, each with controls and pictures of its own; the others in one. */
const WAYS: Partial<Record<ViewName, ViewState['options'][]>> = {
  head: [
    { head: { mode: 'words' } },
    { head: { mode: 'words', of: 'model' } },
    { head: { mode: 'matrix' } },
    { head: { mode: 'matrix', weigh: 'values' } },
  ],
  text: ['change', 'loss', 'rollout'].map(show => ({ text: { show } })),
  pair: ['head', 'setting', 'text'].map(kind => ({ pair: { kind } })),
  lenses: LENS_NAMES.map(lens => ({ lenses: { lens } })),
};

/** Every view in every way. */
export const EVERY_WAY = VIEW_NAMES.flatMap(view =>
  (WAYS[view] ?? [{}]).map(options => ({
    /** Such as `head words`. */
    name: [view, ...Object.values(options[view] ?? {})].join(' '),
    state: { view, options } satisfies ViewState,
  })),
);

export const WIDTHS = [500, 900, 1800];
