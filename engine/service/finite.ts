import type { CoreInput } from '../attention/core';
import { RefusedError, told } from '../errors';

/** Figures of a text for which the model gives no numbers would be figures of nothing. */
function refuse(value: number, token: number): never {
  const what = Number.isNaN(value) ? 'NaN' : 'infinity';
  throw new RefusedError(
    told`The model gives ${what} from token ${token} on: there is nothing to measure in this text.`,
  );
}

/** `values`: [..., rows, width], one or several planes of the same rows. @throws RefusedError naming the first row */
export function refuseNotFinite(values: Float32Array, rows: number, width: number): void {
  let first = rows;
  let found = NaN;
  for (let t = 0; t < values.length; t++) {
    if (Number.isFinite(values[t])) continue;
    const row = Math.floor(t / width) % rows;
    if (row < first) [first, found] = [row, values[t]!];
  }
  if (first < rows) refuse(found, first);
}

/** Of what a core is given. */
export function refuseInput({ q, k, v, queries, keys, dim, valueDim }: CoreInput): void {
  refuseNotFinite(q, queries, dim);
  refuseNotFinite(k, keys, dim);
  refuseNotFinite(v, keys, valueDim);
}
