import { hidesByPlace, openStretches } from './blocked';
import type { AttendContext } from '../mechanism';
import { FAR_BIAS, kvHead, LOST_SCORES, type CoreInput } from '../core';
import { checkpoint } from '../../runtime/cancellation';
import type { GraphBuilder, Value } from '../../runtime/graphBuilder';
import { float32, floats, int32, int64, lowWords, type Tensor } from '../../runtime/tensor';

/**
 * Sparse attention is done in tiles: a few queries against a few keys, gathered side by side in memory. Equal tiles
 * of a head run as one batch through a small graph (two MatMuls around a Softmax), which gives each query's output
 * and log-sum-exp within its tile; a query that is in several tiles is put together by its log-sum-exps.
 */

/** Minus infinity in additive masks: a row that sees nothing stays finite, and is recognised by its log-sum-exp. */
export const MASKED = Math.fround(-1e30);
const NOTHING = -1e29;

/** Elements of scores in one batch: small enough for the cache, large enough to hide the cost of a run. */
export const BATCH_ELEMENTS = 2 ** 19;

/** Tiles of one head, all of the same size. */
export interface Tiles {
  head: number;
  rows: number;
  columns: number;
  /** [count, rows] query indices, -1 = padding. */
  queries: Int32Array;
  /** [count, columns] key indices, -1 = padding (its bias must be MASKED). */
  keys: Int32Array;
  /** [count or 1, rows, columns] added to the scores: mask, the model's own bias, log of a soft mask; null = nothing. */
  bias: Float32Array | null;
  /**
   * [count, rows, columns]: the share of a pair that counts here, 1/n for a pair that n tiles hold; only for
   * mechanisms that count a pair more than once, so that the mass of distinct pairs can still be told.
   */
  share?: Float32Array;
  /** [count, far]: of the first columns that are 1 here the heaviest of each row is told. */
  watched?: Float32Array;
  /** Queries and keys are all over the text: the graph picks them out, on all threads. */
  scattered?: boolean;
  /** [count, rows]: what `addOpaque` took from each row's bias to keep it near 0; belongs to the log-sum-exps. */
  shift?: Float64Array;
}

export interface TileResult {
  /** [count, rows, valueDim] */
  output: Float32Array;
  /** [count, rows], -Infinity where nothing is visible; without the tiles' `shift`. */
  lse: Float32Array;
  /** [count, rows]: log-sum-exp of the shares; equal to `lse` without them. */
  distinctLse: Float32Array;
  /** [count, rows], of the `watched` columns. */
  heaviest?: { column: Int32Array; mass: Float32Array };
}

export async function runTiles(input: CoreInput, tiles: Tiles, context: AttendContext): Promise<TileResult> {
  await checkpoint(context.signal);
  const { head, rows, columns } = tiles;
  const { valueDim, rule } = input;
  const count = tiles.queries.length / rows;
  const planes = tiles.bias ? tiles.bias.length / (rows * columns) : 0;
  const form: TileForm = {
    planes: planes > 1 ? 'g' : planes,
    capped: rule.softCap !== null,
    shared: tiles.share !== undefined,
    heaviest: tiles.watched !== undefined,
    scattered: tiles.scattered === true && tiles.shift === undefined && isInPlace(context),
  };
  const session = await context.runtime.graph(`tiles|${Object.values(form).join('|')}`, g =>
    buildTileGraph(g, form),
  );
  const results = await session.run({
    ...(form.scattered ? rowsOfHead(input, tiles, count) : gatheredRows(input, tiles, count, context)),
    ...(tiles.bias ? { bias: float32(tiles.bias, [planes, rows, columns]) } : {}),
    scale: float32(Float32Array.of(rule.scale[head]!), [1]),
    ...(rule.softCap === null ? {} : { cap: float32(Float32Array.of(rule.softCap), [1]) }),
    ...(tiles.share ? { share: float32(tiles.share, [count, rows, columns]) } : {}),
    ...(tiles.watched ? watchedColumns(tiles.watched, count) : {}),
  });
  const output = floats(results['output']!);
  const lse = floats(results['lse']!);
  const distinctLse = tiles.share ? floats(results['distinct']!) : lse;
  for (let t = 0; t < lse.length; t++) {
    if (lse[t]! > NOTHING) continue;
    lse[t] = distinctLse[t] = -Infinity;
    output.fill(0, t * valueDim, (t + 1) * valueDim);
  }
  if (!form.heaviest) return { output, lse, distinctLse };
  const column = lowWords(results['heaviestColumn']!).filter((_, t) => t % 2 === 0);
  return { output, lse, distinctLse, heaviest: { column, mass: floats(results['heaviestMass']!) } };
}

/** Whether rows of the head are read where they lie: a device would be brought all of them with every batch. */
const isInPlace = ({ runtime }: AttendContext) => runtime.report.device === 'cpu';

function watchedColumns(watched: Float32Array, count: number): Record<string, Tensor> {
  const far = watched.length / count;
  return { far: int64([far], [1]), watched: float32(watched, [count, 1, far]) };
}

/** The queries, keys and values of every tile, side by side. */
function gatheredRows(
  input: CoreInput,
  { head, rows, columns, queries, keys, shift }: Tiles,
  count: number,
  context: AttendContext,
): Record<string, Tensor> {
  const { dim, valueDim } = input;
  const kv = kvHead(input, head);
  const scratch = scratchOf(context);
  const q = gatherRows(input.q, head * input.queries, dim, queries, scratch, 'q');
  const k = gatherRows(input.k, kv * input.keys, dim, keys, scratch, 'k');
  const v = gatherRows(input.v, kv * input.keys, valueDim, keys, scratch, 'v');
  return {
    q: float32(withoutLost(q, dim, shift), [count, rows, dim]),
    k: float32(k, [count, columns, dim]),
    v: float32(v, [count, columns, valueDim]),
  };
}

/** All of the head's queries, keys and values, and which of them each tile takes. */
function rowsOfHead(input: CoreInput, tiles: Tiles, count: number): Record<string, Tensor> {
  const { dim, valueDim, queries, keys } = input;
  const kv = kvHead(input, tiles.head);
  const part = (data: Float32Array, at: number, length: number, width: number) =>
    float32(data.subarray(at * length * width, (at + 1) * length * width), [length, width]);
  return {
    q: part(input.q, tiles.head, queries, dim),
    k: part(input.k, kv, keys, dim),
    v: part(input.v, kv, keys, valueDim),
    queries: int32(tiles.queries.map(there), [count, tiles.rows]),
    keys: int32(tiles.keys.map(there), [count, tiles.columns]),
  };
}

/** Any row does for padding: as a key it is masked, as a query nobody reads it. */
const there = (id: number) => Math.max(0, id);

interface TileForm {
  /** Planes of the bias: none, one for all tiles, or one each. */
  planes: number | 'g';
  capped: boolean;
  shared: boolean;
  heaviest: boolean;
  scattered: boolean;
}

function buildTileGraph(
  g: GraphBuilder,
  { planes, capped, shared, heaviest: tellsHeaviest, scattered }: TileForm,
): void {
  const picked = (name: string, length: string, width: string, ids: Value | null) =>
    ids
      ? g.op('Gather', [g.input(name, 'float32', [`all ${length}`, width]), ids], { axis: 0 })
      : g.input(name, 'float32', ['g', length, width]);
  const queryIds = scattered ? g.input('queries', 'int32', ['g', 'a']) : null;
  const keyIds = scattered ? g.input('keys', 'int32', ['g', 'b']) : null;
  const q = picked('q', 'a', 'd', queryIds);
  const k = picked('k', 'b', 'd', keyIds);
  const v = picked('v', 'b', 'e', keyIds);
  const scale = g.input('scale', 'float32', [1]);
  const keys = g.op('Transpose', [k], { perm: [0, 2, 1] });
  let scores = g.op('MatMul', [g.op('Mul', [q, scale]), keys]);
  if (capped) {
    const cap = g.input('cap', 'float32', [1]);
    scores = g.op('Mul', [g.op('Tanh', [g.op('Div', [scores, cap])]), cap]);
  }
  // Named like the scores, so that it is added in place.
  if (planes) scores = g.op('Add', [scores, g.input('bias', 'float32', [planes, 'a', 'b'])]);
  const weights = g.op('Softmax', [scores], { axis: -1 });
  // log-sum-exp = largest score - log of the largest weight: two cheap reductions instead of a second Exp.
  const largest = g.op('ReduceMax', [scores, g.int([-1])], { keepdims: 0 });
  const heaviest = g.op('ReduceMax', [weights, g.int([-1])], { keepdims: 0 });
  const lse = g.op('Sub', [largest, g.op('Log', [heaviest])]);
  g.output('output', g.op('MatMul', [weights, v]));
  g.output('lse', lse);
  if (tellsHeaviest) {
    const first = g.op('Slice', [weights, g.int([0]), g.input('far', 'int64', [1]), g.int([2])]);
    const far = g.op('Mul', [first, g.input('watched', 'float32', ['g', 1, 'far'])]);
    g.output('heaviestMass', g.op('ReduceMax', [far, g.int([-1])], { keepdims: 0 }));
    g.output('heaviestColumn', g.op('ArgMax', [far], { axis: -1, keepdims: 0 }), 'int64');
  }
  if (shared) {
    const share = g.input('share', 'float32', ['g', 'a', 'b']);
    const kept = g.op('ReduceSum', [g.op('Mul', [weights, share]), g.int([-1])], { keepdims: 0 });
    g.output('distinct', g.op('Add', [lse, g.op('Log', [kept])]));
  }
}

/** Buffers used again from batch to batch: fresh ones of this size would cost as much as the attention. */
type Scratch = Partial<Record<'q' | 'k' | 'v', Float32Array>>;

/** One mechanism's run over one core has a context of its own, and does one batch after the other. */
const scratches = new WeakMap<AttendContext, Scratch>();

function scratchOf(context: AttendContext): Scratch {
  let scratch = scratches.get(context);
  if (!scratch) scratches.set(context, (scratch = {}));
  return scratch;
}

/** Rows `ids` of a [.., width] array whose first row is `base`; ids of -1 give zeros. Runs are copied at once. */
function gatherRows(
  source: Float32Array,
  base: number,
  width: number,
  ids: Int32Array,
  scratch: Scratch,
  name: keyof Scratch,
): Float32Array {
  const size = ids.length * width;
  let out: Float32Array | null = null;
  for (let t = 0; t < ids.length;) {
    const id = ids[t]!;
    let end = t + 1;
    if (id < 0) while (end < ids.length && ids[end]! < 0) end++;
    else while (end < ids.length && ids[end] === id + end - t) end++;
    const from = (base + id) * width;
    const length = (end - t) * width;
    if (id >= 0 && length === size) return source.subarray(from, from + size);
    if (!out) {
      if ((scratch[name]?.length ?? 0) < size) scratch[name] = new Float32Array(size);
      out = scratch[name]!.subarray(0, size);
    }
    const to = t * width;
    if (id < 0) out.fill(0, to, to + length);
    else if (end - t > 2) out.set(source.subarray(from, from + length), to);
    else for (let c = 0; c < length; c++) out[to + c] = source[from + c]!;
    t = end;
  }
  return out ?? new Float32Array(0);
}

/** Rows of queries, 0 where the row's bias is so far from 0 that it leaves nothing of the scores. */
export function withoutLost(q: Float32Array, dim: number, shift: Float64Array | undefined): Float32Array {
  if (!shift?.some(isLost)) return q;
  const left = q.slice();
  shift.forEach((value, r) => {
    if (isLost(value)) left.fill(0, r * dim, (r + 1) * dim);
  });
  return left;
}

const isLost = (shift: number) => Math.abs(shift) >= LOST_SCORES;

/** log(exp(a) + exp(b)); -Infinity is nothing. */
export function logAdd(a: number, b: number): number {
  if (a === -Infinity) return b;
  if (b === -Infinity) return a;
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

/** Outputs of all queries, put together from tiles. */
export class Outputs {
  /** [heads, queries, valueDim] */
  readonly output: Float32Array;
  /** [heads, queries] */
  readonly lse: Float32Array;
  /** Rows whose tiles were shifted: their log-sum-exp as shift + rest, exact where their sum is too large to be. */
  private readonly shifted = new Map<number, { shift: number; rest: number }>();

  constructor(private readonly input: CoreInput) {
    this.output = new Float32Array(input.heads * input.queries * input.valueDim);
    this.lse = new Float32Array(input.heads * input.queries).fill(-Infinity);
  }

  /** Adds tiles whose pairs are disjoint from those added before (or made so by a bias of -log of the count). */
  merge(tiles: Tiles, result: TileResult): void {
    const { valueDim } = this.input;
    const { output } = this;
    const { output: from, lse: added } = result;
    const { queries } = tiles;
    const first = tiles.head * this.input.queries;
    if (!tiles.shift && this.areNew(first, queries)) {
      output.set(from, (first + queries[0]!) * valueDim);
      this.lse.set(added, first + queries[0]!);
      return;
    }
    for (let t = 0; t < queries.length; t++) {
      if (queries[t]! < 0 || added[t] === -Infinity) continue;
      const row = first + queries[t]!;
      const to = row * valueDim;
      const at = t * valueDim;
      const share = this.addMass(row, added[t]!, tiles.shift?.[t] ?? 0);
      if (share === 1) for (let c = 0; c < valueDim; c++) output[to + c] = from[at + c]!;
      else for (let c = 0; c < valueDim; c++) output[to + c]! += (from[at + c]! - output[to + c]!) * share;
    }
  }

  /** Whether these are neighbours of which nothing is known yet: then all of them are taken at once. */
  private areNew(first: number, queries: Int32Array): boolean {
    const from = queries[0]!;
    for (let t = 0; t < queries.length; t++)
      if (queries[t]! !== from + t || this.lse[first + from + t]! !== -Infinity) return false;
    return from >= 0;
  }

  /** Adds exp(shift + rest) to the mass of a row; returns its share of the mass that the row then has. */
  private addMass(row: number, rest: number, shift: number): number {
    const { lse, shifted } = this;
    if (shift === 0 && shifted.size === 0) {
      const before = lse[row]!;
      lse[row] = logAdd(before, rest);
      return before === -Infinity ? 1 : 1 / (1 + Math.exp(before - rest));
    }
    const known = shifted.get(row) ?? { shift: 0, rest: lse[row]! };
    const ahead = known.shift - shift + (known.rest - rest);
    const more = Math.log1p(Math.exp(-Math.abs(ahead)));
    const sum = ahead > 0 ? { ...known, rest: known.rest + more } : { shift, rest: rest + more };
    if (sum.shift !== 0) shifted.set(row, sum);
    else if (known.shift !== 0) shifted.delete(row);
    lse[row] = sum.shift + sum.rest;
    return 1 / (1 + Math.exp(ahead));
  }

  async add(tiles: Tiles, context: AttendContext): Promise<void> {
    this.merge(tiles, await runTiles(this.input, tiles, context));
  }
}

/**
 * What a head adds to the score of a pair by the offset key - position: the model's relative bias, or MASKED where
 * its mask hides the key. Entry t is offset t - base. An opaque bias is not in it (see `addOpaque`).
 */
export interface OffsetTable {
  table: Float32Array;
  base: number;
}

export function offsetTable(input: CoreInput, head: number): OffsetTable {
  const { mask, bias } = input.rule;
  const base = input.keys - 1;
  const table = new Float32Array(base + input.queries);
  for (let t = 0; t < table.length; t++) {
    const offset = t - base;
    if (mask.causal && offset > 0) table[t] = MASKED;
    else if (mask.window && (offset < -mask.window.before || offset > mask.window.after)) table[t] = MASKED;
    else if (bias?.kind === 'alibi') table[t] = bias.slopes[head]! * offset;
    else if (bias?.kind === 'relative') {
      const entry = Math.max(0, Math.min(bias.size - 1, offset - bias.first));
      table[t] = Math.max(MASKED, bias.table[head * bias.size + entry]!);
    }
  }
  return { table, base };
}

/** The offset tables of all heads; one for all where the model's bias does not depend on the head. */
export function offsetTables(input: CoreInput): (head: number) => OffsetTable {
  const tables = new Map<number, OffsetTable>();
  const perHead = input.rule.bias !== null && input.rule.bias.kind !== 'opaque';
  return head => {
    const key = perHead ? head : 0;
    let table = tables.get(key);
    if (!table) {
      if (perHead) tables.clear(); // heads come one after the other
      tables.set(key, (table = offsetTable(input, head)));
    }
    return table;
  };
}

/**
 * Adds what depends on the pair itself to the tiles' (unshared or absent) bias: blocked pairs, the borders of chunks, and
 * the model's own quadratic bias. Only -Infinity hides a key: a row whose
 * keys all carry a large negative number stays a softmax over them (`shift`).
 */
export function addOpaque(input: CoreInput, tiles: Tiles): void {
  const { bias } = input.rule;
  if (hidesByPlace(input.rule)) hideByPlace(input, tiles);
  if (bias?.kind !== 'opaque') return;
  const { rows, columns } = tiles;
  const added = (tiles.bias ??= new Float32Array(tiles.queries.length * columns));
  const plane = (bias.heads === 1 ? 0 : tiles.head) * input.queries;
  tiles.queries.forEach((query, r) => {
    if (query < 0) return;
    const keysAt = Math.floor(r / rows) * columns;
    const from = (plane + query) * input.keys;
    const at = r * columns;
    let largest = -Infinity;
    for (let c = 0; c < columns; c++) {
      const key = tiles.keys[keysAt + c]!;
      if (key < 0 || added[at + c]! < NOTHING) continue;
      largest = Math.max(largest, bias.data[from + key]!);
    }
    const shift = Math.abs(largest) > FAR_BIAS && largest > -Infinity ? largest : 0;
    if (shift !== 0) (tiles.shift ??= new Float64Array(tiles.queries.length))[r] = shift;
    for (let c = 0; c < columns; c++) {
      const key = tiles.keys[keysAt + c]!;
      if (key < 0 || added[at + c]! < NOTHING) continue;
      added[at + c] = Math.max(MASKED, added[at + c]! + (bias.data[from + key]! - shift));
    }
  });
}

function hideByPlace(input: CoreInput, tiles: Tiles): void {
  const { rows, columns, head } = tiles;
  const added = (tiles.bias ??= new Float32Array(tiles.queries.length * columns));
  tiles.queries.forEach((query, r) => {
    if (query < 0) return;
    const open = openStretches(input, head, query);
    const keysAt = Math.floor(r / rows) * columns;
    for (let c = 0; c < columns; c++) {
      const key = tiles.keys[keysAt + c]!;
      if (!open.some(({ from, to }) => key >= from && key < to)) added[r * columns + c] = MASKED;
    }
  });
}
