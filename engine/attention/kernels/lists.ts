import type { CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  runTiles,
  type OffsetTable,
  type Outputs,
  type Tiles,
} from './tiles';

/** Rows at once at the least. */
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
  const wished = Math.max(ROWS, Math.floor(BATCH_ELEMENTS / Math.max(1, keys.length)));
  const rowsAtOnce = Math.min(wished, queries.length);
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
  const numbers = new Int32Array(Math.max(0, to - from));
  for (let t = 0; t < numbers.length; t++) numbers[t] = from + t;
  return numbers;
}

/** Elements of padding that cost less than another run. */
const WASTE = 2 ** 16;

/** A group of queries and keys that see each other; both ascending. */
export interface Group {
  queries: Int32Array;
  keys: Int32Array;
}

/** Like `attendLists`, for many short groups: neighbours in the list run as one batch, padded to the largest of them. */
export async function attendGroups(
  input: CoreInput,
  head: number,
  groups: readonly Group[],
  keep: (position: number, key: number) => boolean,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<number> {
  let pairs = 0;
  for (let from = 0; from < groups.length;) {
    const { to, rows, columns } = batchOf(groups, from);
    const batch = groups.slice(from, to);
    from = to;
    if (batch.length === 1) {
      const { queries, keys } = batch[0]!;
      pairs += await attendLists(input, head, queries, keys, keep, offsets, outputs, context);
      continue;
    }
    const tiles: Tiles = {
      head,
      rows,
      columns,
      queries: new Int32Array(batch.length * rows).fill(-1),
      keys: new Int32Array(batch.length * columns).fill(-1),
      bias: new Float32Array(batch.length * rows * columns).fill(MASKED),
      scattered: true,
    };
    let here = 0;
    batch.forEach((group, t) => {
      tiles.queries.set(group.queries, t * rows);
      tiles.keys.set(group.keys, t * columns);
      here += fillGroup(input, group, keep, offsets, tiles.bias!, t * rows * columns, columns);
    });
    if (here === 0) continue;
    pairs += here;
    addOpaque(input, tiles);
    outputs.merge(tiles, await runTiles(input, tiles, context));
  }
  return pairs;
}

/** The groups from `from` on that fit one batch, and the size of its tiles. */
function batchOf(groups: readonly Group[], from: number): { to: number; rows: number; columns: number } {
  let to = from + 1;
  let rows = groups[from]!.queries.length;
  let columns = groups[from]!.keys.length;
  let own = rows * columns;
  for (; to < groups.length; to++) {
    const wider = Math.max(rows, groups[to]!.queries.length);
    const longer = Math.max(columns, groups[to]!.keys.length);
    const padded = (to + 1 - from) * wider * longer;
    own += groups[to]!.queries.length * groups[to]!.keys.length;
    if (padded > BATCH_ELEMENTS || (padded > 2 * own && padded - own > WASTE)) break;
    rows = wider;
    columns = longer;
  }
  return { to, rows, columns };
}

function fillGroup(
  input: CoreInput,
  { queries, keys }: Group,
  keep: (position: number, key: number) => boolean,
  { table, base }: OffsetTable,
  bias: Float32Array,
  first: number,
  columns: number,
): number {
  const masked = MASKED;
  const shift = input.keys - input.queries;
  let pairs = 0;
  for (let r = 0; r < queries.length; r++) {
    const position = queries[r]! + shift;
    for (let c = 0; c < keys.length; c++) {
      const value = table[keys[c]! - position + base]!;
      if (value === masked || !keep(position, keys[c]!)) continue;
      bias[first + r * columns + c] = value;
      pairs++;
    }
  }
  return pairs;
}
