/**
 * Elements of logits that are read at once: few enough that memory is used again (new pages cost as much as what is computed in them),
 * and of a large vocabulary more, so that its weights are not read for a handful of rows.
 */
const ELEMENTS = 2 ** 20;
const LEAST_ROWS = 128;

/** Rows of an output that are read at once, of at most `most` elements. */
export function logitRows(width: number, most: number): number {
  const wished = Math.max(LEAST_ROWS, Math.floor(ELEMENTS / width));
  return Math.max(1, Math.min(wished, Math.floor(most / width)));
}
