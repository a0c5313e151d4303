import { dependsOnPair } from './blocked';
import { startPairProgram, type PairProgram } from './pairProgram';
import { sequence } from './lists';
import { MASKED, type OffsetTable, type Outputs } from './tiles';
import { kvHead, type CoreInput, type Stretch } from '../core';
import type { AttendContext } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import { createMemory } from '../../runtime/wasm';

/**
 * Attention of single queries to lists of keys of their own, on the processor: where queries share few keys, tiles gather and merge
 * more than they multiply. Lists are made for some queries at a time, so memory is bounded.
 */

/** Entries of the lists of one call: a few milliseconds of work. */
const ENTRIES = 2 ** 18;
const ROWS = 1024;
/** Keys and values of a head take no more of the program's memory, which never shrinks. */
const MOST_BYTES = 2 ** 26;
/** Where keys come from all over the text, they have to lie in the processor's cache, or bringing them together in tiles is faster. */
const SCATTERED_BYTES = 2 ** 22;

/**
 * Writes the keys that a query keeps into a list from entry `at` on, each once and none beyond what the mask lets it see behind and
 * before it (`visibleKeys`); returns the entry behind the last.
 */
export type ListKeys = (query: number, into: Int32Array, at: number) => number;

/** Whether lists are the way here: a rule by distance alone, without a cap, on a processor. `scattered`: each query's keys are all over the text. */
export function servesLists(
  { rule, keys, dim, valueDim }: CoreInput,
  { runtime }: AttendContext,
  scattered = false,
): boolean {
  const bytes = 4 * keys * (dim + valueDim);
  return (
    runtime.report.device === 'cpu' &&
    rule.softCap === null &&
    !dependsOnPair(rule) &&
    bytes <= (scattered ? SCATTERED_BYTES : MOST_BYTES)
  );
}

/** Adds the pairs of queries of a head (all of them, or those of a stretch) to `outputs`; returns how many there are. */
export async function attendPairs(
  input: CoreInput,
  head: number,
  listKeys: ListKeys,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
  { from: first, to: last }: Stretch = { from: 0, to: input.queries },
): Promise<number> {
  const { valueDim, rule } = input;
  const isPlain = rule.bias === null && rule.mask.window === null;
  let pairs = 0;
  for (let from = first; from < last;) {
    await checkpoint(context.signal);
    const { places, program } = room.of(input, head);
    const { keys: list, bias, starts } = room.lists(places);
    let to = from;
    let at = 0;
    for (; to < last && to - from < ROWS && at < ENTRIES; to++) {
      starts[to - from] = at;
      const end = listKeys(to, list, at);
      at = isPlain ? end : keepShown(input, to, list, bias, at, end, offsets);
    }
    const rows = to - from;
    starts[rows] = at;
    list.fill(0, at, at + 4);
    pairs += at;
    room.setQueries(places, input, head, from, rows);
    const { valueWidth } = places;
    program.attend(
      rows,
      places.starts,
      places.keys,
      isPlain ? 0 : places.bias,
      places.q,
      places.k,
      places.v,
      places.out,
      places.tops,
      places.sums,
      places.scratch,
      4 * places.keyWidth,
      4 * valueWidth,
      rule.scale[head]!,
    );
    const [tops, sums] = [room.floats(places.tops, rows), room.floats(places.sums, rows)];
    const lse = tops.map((top, r) => (sums[r]! > 0 ? top + Math.log(sums[r]!) : -Infinity));
    const output = unpadded(room.floats(places.out, rows * valueWidth), valueWidth, valueDim);
    const tiles = {
      head,
      rows,
      columns: 0,
      queries: sequence(from, to),
      keys: new Int32Array(0),
      bias: null,
    };
    outputs.merge(tiles, { output, lse, distinctLse: lse });
    from = to;
  }
  room.leave();
  return pairs;
}

/** Leaves of a list what the model's mask shows, and writes what it adds to the scores; returns the new end. */
function keepShown(
  { queries, keys }: CoreInput,
  query: number,
  list: Int32Array,
  bias: Float32Array,
  from: number,
  end: number,
  { table, base }: OffsetTable,
): number {
  const zero = base - (query + keys - queries);
  const masked = MASKED;
  let kept = from;
  for (let t = from; t < end; t++) {
    const value = table[list[t]! + zero]!;
    if (value === masked) continue;
    list[kept] = list[t]!;
    bias[kept++] = value;
  }
  return kept;
}

function unpadded(rows: Float32Array, width: number, wanted: number): Float32Array {
  if (width === wanted) return rows;
  const found = new Float32Array((rows.length / width) * wanted);
  for (let r = 0; r * wanted < found.length; r++)
    found.set(rows.subarray(r * width, r * width + wanted), r * wanted);
  return found;
}

/** What stands for blocks of keys, [dim, stride]: one vector each, or the least and the largest of each dimension. */
export interface Summaries {
  stride: number;
  /** How many are needed of them. */
  count: number;
  first: Float64Array;
  second?: Float64Array;
}

/** Columns beside each other in `Summaries`: a multiple of what is computed at once. */
export const strideOf = (count: number): number => Math.max(8, whole(count, 8));

/**
 * Products in float64 of queries from .. to-1 of a head with each of the summaries, [to - from, stride], summed in the order of the
 * dimensions. They stand until the next call.
 */
export function productsWith(
  { q, dim, queries }: CoreInput,
  head: number,
  from: number,
  to: number,
  summaries: Summaries,
): Float64Array {
  const rows = q.subarray((head * queries + from) * dim, (head * queries + to) * dim);
  return room.products(rows, dim, to - from, summaries);
}

interface Places {
  keyWidth: number;
  valueWidth: number;
  k: number;
  v: number;
  q: number;
  out: number;
  tops: number;
  sums: number;
  scratch: number;
  starts: number;
  keys: number;
  bias: number;
  end: number;
  /** Entries of `keys` and `bias`. */
  entries: number;
}

const whole = (value: number, of: number) => Math.ceil(value / of) * of;

/** The memory of the program, which one head has at a time. */
class Room {
  private readonly memory = createMemory();
  private program: PairProgram | null = null;
  private places: Places | null = null;
  private held: { k: Float32Array; v: Float32Array; keys: number; head: number } | null = null;

  /** Puts keys and values of a head in, where they are not there from the last call. */
  of(input: CoreInput, head: number): { places: Places; program: PairProgram } {
    const { k, v, keys, dim, valueDim } = input;
    const program = (this.program ??= startPairProgram(this.memory));
    const { held } = this;
    if (held && held.k === k && held.v === v && held.keys === keys && held.head === head && this.places)
      return { places: this.places, program };
    const places = placesOf(input);
    this.grow(places.end);
    const kv = kvHead(input, head);
    this.setRows(places.k, places.keyWidth, k.subarray(kv * keys * dim, (kv + 1) * keys * dim), dim);
    this.setRows(
      places.v,
      places.valueWidth,
      v.subarray(kv * keys * valueDim, (kv + 1) * keys * valueDim),
      valueDim,
    );
    this.places = places;
    this.held = { k, v, keys, head };
    return { places, program };
  }

  /** Nothing of the head is held any longer. */
  leave(): void {
    this.held = null;
  }

  lists({ keys, bias, starts, entries }: Places): {
    keys: Int32Array;
    bias: Float32Array;
    starts: Int32Array;
  } {
    const { buffer } = this.memory;
    return {
      keys: new Int32Array(buffer, keys, entries),
      bias: this.floats(bias, entries),
      starts: new Int32Array(buffer, starts, ROWS + 1),
    };
  }

  floats(place: number, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, place, count);
  }

  setQueries(places: Places, { q, queries, dim }: CoreInput, head: number, from: number, rows: number): void {
    const first = (head * queries + from) * dim;
    this.setRows(places.q, places.keyWidth, q.subarray(first, first + rows * dim), dim);
  }

  products(
    q: Float32Array,
    dim: number,
    rows: number,
    { stride, count, first, second }: Summaries,
  ): Float64Array {
    const program = (this.program ??= startPairProgram(this.memory));
    // Where keys and values of a head lay.
    this.leave();
    const a = 8 * rows * dim;
    const b = a + 8 * first.length;
    const out = b + (second ? 8 * second.length : 0);
    this.grow(out + 8 * rows * stride);
    const { buffer } = this.memory;
    new Float64Array(buffer, 0, rows * dim).set(q);
    new Float64Array(buffer, a, first.length).set(first);
    if (second) {
      new Float64Array(buffer, b, second.length).set(second);
      program.bounds(rows, whole(count, 8), stride, dim, 0, a, b, out);
    } else program.dots(rows, whole(count, 8), stride, dim, 0, a, out);
    return new Float64Array(buffer, out, rows * stride);
  }

  private setRows(place: number, width: number, rows: Float32Array, own: number): void {
    const count = rows.length / own;
    const into = this.floats(place, count * width);
    if (width === own) return into.set(rows);
    into.fill(0);
    for (let r = 0; r < count; r++) into.set(rows.subarray(r * own, (r + 1) * own), r * width);
  }

  private grow(bytes: number): void {
    const missing = bytes - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
  }
}

const room = new Room();

function placesOf({ keys, dim, valueDim }: CoreInput): Places {
  const [keyWidth, valueWidth] = [whole(dim, 4), whole(valueDim, 4)];
  const entries = ENTRIES + keys + 8;
  let end = 0;
  const take = (count: number) => {
    const place = end;
    end += whole(4 * count, 16);
    return place;
  };
  const places = {
    keyWidth,
    valueWidth,
    k: take(keys * keyWidth),
    v: take(keys * valueWidth),
    q: take(ROWS * keyWidth),
    out: take(ROWS * valueWidth),
    tops: take(ROWS),
    sums: take(ROWS),
    scratch: take(keys + 8),
    starts: take(ROWS + 1),
    keys: take(entries),
    // A place of its own: 0 says that there is none.
    bias: take(entries),
  };
  return { ...places, end, entries };
}
