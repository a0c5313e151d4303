import { dependsOnPair } from './blocked';
import { plainCore, visibleKeys, type CoreInput } from '../core';
import type { AttendContext, Attended, SparseRow } from '../mechanism';
import { denseCore } from './dense';
import { sequence } from './lists';
import { LazyRow, scoresOf, shownKeys, softmax } from './rows';
import { someHeads } from './subset';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  offsetTables,
  Outputs,
  type OffsetTable,
  type Tiles,
} from './tiles';

/** Keys at offsets -before .. after from the query's position. */
export interface Band {
  before: number;
  after: number;
  soft?: SoftMask;
}

/** What a soft mask lets through of each exponentiated score, at offsets -reach .. reach. */
export interface SoftMask {
  reach: number;
  shares: Float64Array;
  logs: Float64Array;
}

/** The same band in every head, and nothing else. */
export async function attendOneBand(input: CoreInput, band: Band, context: AttendContext): Promise<Attended> {
  const outputs = new Outputs(input);
  await attendBand(input, () => band, outputs, context);
  return {
    output: outputs.output,
    lse: outputs.lse,
    pairs: new Float64Array(input.heads).fill(bandPairs(input, band)),
    row: (head, query) => bandRow(input, head, query, band),
    extra: {},
  };
}

/**
 * Attention within a band around the diagonal: blocks of queries against the keys that the block can see. Away from
 * the ends every block has the same bias (it depends on the offset only), so they run as one batch.
 * Cost: queries x (width of the band + block).
 */
export async function attendBand(
  input: CoreInput,
  bandOf: (head: number) => Band,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const tables = offsetTables(input);
  const whole: number[] = [];
  for (let head = 0; head < input.heads; head++) {
    const band = clip(input, bandOf(head));
    if (hidesNothing(input, band)) whole.push(head);
    else await attendHead(input, head, band, tables(head), outputs, context);
  }
  if (whole.length > 0) await attendWhole(input, whole, outputs, context);
}

/** Whether a clipped band is all that the model's mask shows. */
function hidesNothing({ queries, keys, rule }: CoreInput, { before, after, soft }: Band): boolean {
  const { causal, window } = rule.mask;
  const all =
    before >= Math.min(keys - 1, window?.before ?? Infinity) &&
    (causal || after >= Math.min(queries - 1, window?.after ?? Infinity));
  return (
    all &&
    (!soft || soft.shares.subarray(soft.reach - before, soft.reach + after + 1).every(one => one === 1))
  );
}

/** Such heads are dense ones, for which tiles would take longer. */
async function attendWhole(
  input: CoreInput,
  heads: readonly number[],
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const { queries, valueDim } = input;
  const { output, lse } = await denseCore(someHeads(plainCore(input), heads), context);
  const ids = sequence(0, queries);
  heads.forEach((head, at) => {
    const own = lse.subarray(at * queries, (at + 1) * queries);
    const tiles = { head, rows: queries, columns: 0, queries: ids, keys: new Int32Array(0), bias: null };
    const part = output.subarray(at * queries * valueDim, (at + 1) * queries * valueDim);
    outputs.merge(tiles, { output: part, lse: own, distinctLse: own });
  });
}

async function attendHead(
  input: CoreInput,
  head: number,
  band: Band,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const { queries, keys } = input;
  const width = band.before + band.after + 1;
  const block = Math.min(queries, Math.max(32, Math.min(128, Math.ceil(width / 4 / 16) * 16)));
  const profile = bandProfile(band, offsets);
  const shift = keys - queries;
  const firstKey = (from: number) => from + shift - band.before;
  const isInner = (from: number) =>
    firstKey(from) >= 0 && from + block <= queries && from + block - 1 + shift + band.after < keys;
  const opaque = dependsOnPair(input.rule);
  const columns = block + width - 1;
  const perBatch = Math.max(1, Math.floor(BATCH_ELEMENTS / (block * columns)));
  const sharedBias = opaque ? null : bandBias(profile, block, columns, 0);

  for (let from = 0; from < queries;) {
    if (sharedBias && isInner(from)) {
      let count = 1;
      while (count < perBatch && isInner(from + count * block)) count++;
      await outputs.add(
        {
          head,
          rows: block,
          columns,
          queries: consecutive(count, block, block, from),
          keys: consecutive(count, block, columns, firstKey(from)),
          bias: sharedBias,
        },
        context,
      );
      from += count * block;
    } else {
      const rows = Math.min(block, queries - from);
      const left = Math.max(0, firstKey(from));
      const right = Math.min(keys, from + rows + shift + band.after);
      from += rows;
      if (right <= left) continue;
      const tiles: Tiles = {
        head,
        rows,
        columns: right - left,
        queries: consecutive(1, 0, rows, from - rows),
        keys: consecutive(1, 0, right - left, left),
        bias: bandBias(profile, rows, right - left, left - firstKey(from - rows)),
      };
      addOpaque(input, tiles);
      await outputs.add(tiles, context);
    }
  }
}

/** The band within what the model's mask and the number of keys let through. */
function clip(input: CoreInput, band: Band): Band {
  const { causal, window } = input.rule.mask;
  return {
    ...band,
    before: Math.min(band.before, window?.before ?? Infinity, input.keys - 1),
    after: causal ? 0 : Math.min(band.after, window?.after ?? Infinity, input.queries - 1),
  };
}

/** Bias at offsets -before .. after. */
function bandProfile(band: Band, { table, base }: OffsetTable): Float32Array {
  return Float32Array.from({ length: band.before + band.after + 1 }, (_, t) => {
    const offset = t - band.before;
    // Offsets beyond the table do not occur in any pair.
    const log = band.soft?.logs[offset + band.soft.reach] ?? 0;
    return Math.max(MASKED, (table[offset + base] ?? 0) + log);
  });
}

/** [rows, columns]: row r holds the profile from column r - skipped on. */
function bandBias(profile: Float32Array, rows: number, columns: number, skipped: number): Float32Array {
  const bias = new Float32Array(rows * columns).fill(MASKED);
  for (let r = 0; r < rows; r++) {
    const from = Math.max(0, r - skipped);
    const cut = Math.max(0, skipped - r);
    const length = Math.min(profile.length - cut, columns - from);
    if (length > 0) bias.set(profile.subarray(cut, cut + length), r * columns + from);
  }
  return bias;
}

/** `count` rows of `length` consecutive numbers; row t starts at start + t * step. */
function consecutive(count: number, step: number, length: number, start: number): Int32Array {
  const ids = new Int32Array(count * length);
  for (let t = 0; t < ids.length; t++) ids[t] = start + Math.floor(t / length) * step + (t % length);
  return ids;
}

/** First and one-past-last key of a query's band, within the mask. */
export function bandKeys(input: CoreInput, band: Band, query: number): { from: number; to: number } {
  const visible = visibleKeys(input, query);
  const position = query + input.keys - input.queries;
  const from = Math.max(visible.from, position - band.before);
  return { from, to: Math.max(from, Math.min(visible.to, position + band.after + 1)) };
}

/** One query's softmax over its band. */
export function bandRow(input: CoreInput, head: number, query: number, band: Band): SparseRow {
  const { soft } = band;
  const keys = shownKeys(input, head, query, bandKeys(input, band, query));
  const scores = () => scoresOf(input, head, query, keys);
  if (!soft) return new LazyRow(keys, () => softmax(scores()));
  const first = soft.reach - (query + input.keys - input.queries);
  const weigh = () => softmax(scores(), atKeys(soft.logs, keys, first));
  return new LazyRow(keys, weigh, atKeys(soft.shares, keys, first));
}

/** The values at `first` + key; of keys without a gap it is a view. */
function atKeys(values: Float64Array, keys: Int32Array, first: number): Float64Array {
  if (keys.length === 0) return new Float64Array(0);
  const [from, to] = [keys[0]!, keys[keys.length - 1]! + 1];
  return to - from === keys.length
    ? values.subarray(first + from, first + to)
    : Float64Array.from(keys, key => values[first + key]!);
}

/** Distinct pairs of a head's band. */
export function bandPairs(input: CoreInput, band: Band): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = bandKeys(input, band, i);
    pairs += to - from;
  }
  return pairs;
}
