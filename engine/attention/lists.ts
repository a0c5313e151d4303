import type { CoreInput } from './core';
import type { AttendContext } from './mechanism';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  runTiles,
  type OffsetTable,
  type Outputs,
  type Tiles,
} from './tiles';

/** Rows at once: few, so that the pairs that a row does not keep cost little. */
const ROWS = 64;

/**
 * A list of queries against an ascending list of keys, of which each query keeps those that `keep` lets through
 * (null = all) and the model's mask shows. Adds to `outputs`; returns the number of pairs. Memory is bounded: both
 * lists are cut, and the pieces put together by their log-sum-exps.
 */
export async function attendLists(
  input: CoreInput,
  head: number,
  queries: Int32Array,
  keys: Int32Array,
  keep: ((position: number, key: number) => boolean) | null,
  { table, base }: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<number> {
  const masked = MASKED;
  const shift = input.keys - input.queries;
  const rowsAtOnce = Math.min(ROWS, queries.length);
  const columnsAtOnce = Math.max(1, Math.floor((2 * BATCH_ELEMENTS) / Math.max(1, rowsAtOnce)));
  let pairs = 0;
  for (let from = 0; from < queries.length; from += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, queries.length - from);
    for (let left = 0; left < keys.length; left += columnsAtOnce) {
      const columns = Math.min(columnsAtOnce, keys.length - left);
      const bias = new Float32Array(rows * columns);
      const tiles: Tiles = {
        head,
        rows,
        columns,
        queries: queries.slice(from, from + rows),
        keys: keys.slice(left, left + columns),
        bias,
      };
      let here = 0;
      for (let r = 0; r < rows; r++) {
        const position = tiles.queries[r]! + shift;
        for (let c = 0; c < columns; c++) {
          const key = tiles.keys[c]!;
          const value = table[key - position + base]!;
          if (value === masked || (keep && !keep(position, key))) bias[r * columns + c] = masked;
          else {
            bias[r * columns + c] = value;
            here++;
          }
        }
      }
      if (here === 0) continue;
      pairs += here;
      addOpaque(input, tiles);
      outputs.merge(tiles, await runTiles(input, tiles, context));
    }
  }
  return pairs;
}

/** from .. to-1 */
export function sequence(from: number, to: number): Int32Array {
  return Int32Array.from({ length: Math.max(0, to - from) }, (_, t) => from + t);
}
