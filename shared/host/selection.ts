import { NO_SELECTION, type ChangeSource, type Selection } from '../protocol/host';

/** The selection with the named fields changed; the same object when nothing has. A head without a core is dropped. */
export function changedSelection(selection: Selection, change: Partial<Selection>): Selection {
  const next = { ...selection, ...change };
  if (next.core === null) next.head = null;
  if (next.mechanism?.key === selection.mechanism?.key) next.mechanism = selection.mechanism;
  if (sameChange(next.change, selection.change)) next.change = selection.change;
  const fields = Object.keys(NO_SELECTION) as (keyof Selection)[];
  return fields.every(field => next[field] === selection[field]) ? selection : next;
}

function sameChange(a: ChangeSource | null, b: ChangeSource | null): boolean {
  if (a?.kind !== b?.kind) return false;
  return a?.kind !== 'mechanism' || b?.kind !== 'mechanism' || a.choice.key === b.choice.key;
}
