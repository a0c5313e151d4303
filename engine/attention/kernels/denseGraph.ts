import { HIDDEN, queriesOf, type Additive, type AdditiveParts, type Block } from './blocks';
import { sequence } from './lists';
import { kvHead, LOST_SCORES, type CoreInput } from '../core';
import type { GraphBuilder, Value } from '../../runtime/graphBuilder';
import type { Runtime, Session } from '../../runtime/runtime';
import { ElementType } from '../../runtime/onnxProto';
import { float32, floats, int32, int64, type Feed, type Tensor } from '../../runtime/tensor';

/** Values inside the graph of one block. Rows: last query first (see blocks.ts). */
export interface BlockValues {
  /** [heads, rows, columns]: scores as the softmax sees them, hidden keys far below all others. */
  scores: Value;
  /** [heads, rows, columns]: their softmax; rows that see nothing are even. */
  softmax: Value;
  /** [heads, rows, columns]: the same, less what a sink takes; rows that see nothing are 0. */
  probabilities: Value;
  /** There is a sink: the probabilities of a row do not sum to 1. */
  sunk: boolean;
}

/** Heads of one run, those of whole key/value heads (or a single one). */
export interface HeadRange {
  head: number;
  heads: number;
}

/** K and V with room for keys before the first and after the last. */
export interface StoredKeys {
  k: Float32Array;
  v: Float32Array;
  front: number;
  /** Rows stored per key/value head. */
  keys: number;
}

/** The queries, keys and values of a run's heads, all of them. */
export type HeldRange = Record<'q' | 'k' | 'v', Feed>;

/** The same as they lie in the engine's memory. */
export function wholeRange(
  input: CoreInput,
  { head, heads }: HeadRange,
  stored: StoredKeys,
): Record<'q' | 'k' | 'v', Tensor> {
  const { dim, valueDim, queries } = input;
  const group = input.heads / input.kvHeads;
  const kv = kvHead(input, head);
  const kvs = Math.ceil(heads / group);
  const part = (data: Float32Array, first: number, count: number, length: number, width: number) =>
    float32(data.subarray(first * length * width, (first + count) * length * width), [count, length, width]);
  return {
    q: part(input.q, head, heads, queries, dim),
    k: part(stored.k, kv, kvs, stored.keys, dim),
    v: part(stored.v, kv, kvs, stored.keys, valueDim),
  };
}

/** What the core's own part of the graph reads; which inputs there are decides which graph it is. `held`: what a device has of it already. */
export function blockFeeds(
  input: CoreInput,
  block: Block,
  { head, heads }: HeadRange,
  additive: Additive,
  stored: StoredKeys,
  held: HeldRange | null = null,
): Record<string, Feed> {
  const { rule } = input;
  const { rows, columns } = block;
  const whole = wholeRange(input, { head, heads }, stored);
  const kvs = whole.k.dims[0]!;
  const first = stored.front + block.firstKey;
  // The keys of one head, and all keys of several, lie in one stretch; else the graph cuts them out.
  const sliced = (held !== null || kvs > 1) && columns < stored.keys;
  const stretch = (tensor: Tensor) => {
    const width = tensor.dims[2]!;
    return float32(floats(tensor).subarray(first * width, (first + kvs * columns) * width), [
      kvs,
      columns,
      width,
    ]);
  };
  return {
    ...(held ?? (sliced ? whole : { q: whole.q, k: stretch(whole.k), v: stretch(whole.v) })),
    order: int32(queriesOf(block), [rows]),
    back: lastFirst(rows),
    scale: scaleOf(input, block, { head, heads }, additive),
    ...(sliced ? { firstKey: int64([first], [1]), endKey: int64([first + columns], [1]) } : {}),
    ...(heads > kvs
      ? {
          grouped: int64([kvs, (heads / kvs) * rows, -1], [3]),
          apart: int64([heads, rows, -1], [3]),
        }
      : {}),
    ...(additive.data ? { additive: float32(additive.data, [additive.planes, rows, columns]) } : {}),
    ...(additive.parts ? partFeeds(additive.parts, additive.planes, block) : {}),
    ...(rule.sink ? { sink: sinkOf(rule.sink, block, { head, heads }, additive) } : {}),
    ...(additive.visible.includes(0) ? { alive: aliveRows(additive, rows) } : {}),
    ...(rule.softCap === null ? {} : { cap: float32(Float32Array.of(rule.softCap), []) }),
  };
}

function partFeeds(
  { first, last, byOffset }: AdditiveParts,
  planes: number,
  { rows, columns }: Block,
): Record<string, Tensor> {
  const column = int32(sequence(0, columns), [columns]);
  const seen = { column, firstSeen: int32(first, [rows, 1]), lastSeen: int32(last, [rows, 1]) };
  if (!byOffset) return seen;
  const table = float32(byOffset, [planes, byOffset.length / planes]);
  return { ...seen, biasByOffset: table, row: int32(sequence(0, rows), [rows, 1]) };
}

function lastFirst(rows: number): Tensor {
  return int32(
    Int32Array.from({ length: rows }, (_, t) => rows - 1 - t),
    [rows],
  );
}

/** What queries are multiplied with: [heads, 1, 1], or [heads, rows, 1] where the scores of some rows are lost. */
function scaleOf(
  { rule: { scale } }: CoreInput,
  { rows }: Block,
  { head, heads }: HeadRange,
  { shift, planes }: Additive,
): Tensor {
  const scales = scale.subarray(head, head + heads);
  if (!shift?.some(isLost)) return float32(scales, [heads, 1, 1]);
  const perRow = new Float32Array(heads * rows);
  for (let t = 0; t < perRow.length; t++) {
    const lost = isLost(shift[planes === 1 ? t % rows : t]!);
    perRow[t] = lost ? 0 : scales[Math.floor(t / rows)]!;
  }
  return float32(perRow, [heads, rows, 1]);
}

/** [heads, 1, 1], or [heads, rows, 1] where the scores of rows were shifted. */
function sinkOf(
  sink: Float32Array,
  { rows }: Block,
  { head, heads }: HeadRange,
  { shift, planes }: Additive,
): Tensor {
  const own = sink.subarray(head, head + heads);
  if (!shift) return float32(own, [heads, 1, 1]);
  const perRow = Float32Array.from({ length: heads * rows }, (_, t) => {
    const shifted = shift[planes === 1 ? t % rows : t]!;
    return own[Math.floor(t / rows)]! - shifted;
  });
  return float32(perRow, [heads, rows, 1]);
}

const isLost = (shift: number) => Math.abs(shift) >= LOST_SCORES;

function aliveRows({ visible, planes }: Additive, rows: number): Tensor {
  return float32(
    Float32Array.from(visible, count => (count > 0 ? 1 : 0)),
    [planes, rows, 1],
  );
}

/** The graph that takes these feeds, with what `part` adds to it. Equal names of dimensions let it add in place. */
export function blockGraph(
  { dim, valueDim, precise }: CoreInput,
  feeds: Record<string, Feed>,
  { planes }: Additive,
  runtime: Runtime,
  part: { key: string; build(graph: GraphBuilder, values: BlockValues): void },
): Promise<Session> {
  const has = (name: string) => feeds[name] !== undefined;
  const options = ['firstKey', 'grouped', 'additive', 'firstSeen', 'biasByOffset', 'alive', 'cap', 'sink']
    .filter(has)
    .join();
  const plane = planes === 1 ? 1 : 'heads';
  const rowsOf = (name: string) => (feeds[name]?.dims[1] === 1 ? 1 : 'rows');
  const perRow = rowsOf('scale');
  const sinkRows = rowsOf('sink');
  const inFloat64 = precise === true && runtime.report.device === 'cpu'; // GPUs have no float64
  const key = `dense|${part.key}|${dim}|${valueDim}|${options}|${plane}|${perRow}|${sinkRows}|${inFloat64}`;
  return runtime.graph(key, g => {
    type Dims = (string | number)[];
    const cast = (value: Value, to: number) => (inFloat64 ? g.op('Cast', [value], { to }) : value);
    const wide = (value: Value) => cast(value, ElementType.float64);
    const narrow = (value: Value) => cast(value, ElementType.float32);
    const input = (name: string, dims: Dims) => g.input(name, 'float32', dims);
    const optional = (name: string, dims: Dims) => (has(name) ? wide(input(name, dims)) : null);
    const whole = (name: string, length: number) => has(name) && g.input(name, 'int64', [length]);
    const range = has('firstKey') && [g.input('firstKey', 'int64', [1]), g.input('endKey', 'int64', [1])];
    const [grouped, apart] = [whole('grouped', 3), whole('apart', 3)];
    const [kvs, kvRows] = grouped ? (['kvs', 'kvRows'] as const) : (['heads', 'rows'] as const);
    const reshaped = (value: Value, shape: Value | false, dims: Dims) =>
      shape ? g.shaped(g.op('Reshape', [value, shape]), inFloat64 ? 'float64' : 'float32', dims) : value;
    const visibleOf = (name: string, width: number) => {
      const stored = input(name, [kvs, range ? 'keys' : 'columns', width]);
      if (!range) return wide(stored);
      const cut = g.op('Slice', [stored, ...range, g.int([1])]);
      return wide(g.shaped(cut, 'float32', [kvs, 'columns', width]));
    };

    const q = input('q', ['heads', 'queries', dim]);
    const rows = g.op('Gather', [q, g.input('order', 'int32', ['rows'])], { axis: 1 });
    const scaled = g.op('Mul', [wide(rows), wide(input('scale', ['heads', perRow, 1]))]);
    const keys = g.op('Transpose', [visibleOf('k', dim)], { perm: [0, 2, 1] });
    const products = g.op('MatMul', [reshaped(scaled, grouped, [kvs, kvRows, dim]), keys]);
    let scores = reshaped(products, apart, ['heads', 'rows', 'columns']);
    const cap = optional('cap', []);
    if (cap) scores = g.op('Mul', [g.op('Tanh', [g.op('Div', [scores, cap])]), cap]);
    const additive = optional('additive', [plane, 'rows', 'columns']);
    if (additive) scores = g.op('Add', [scores, additive]);
    if (has('firstSeen')) {
      const column = g.input('column', 'int32', ['columns']);
      if (has('biasByOffset')) scores = g.op('Add', [scores, wide(biasOf(g, column, plane))]);
      scores = g.op('Add', [scores, wide(maskOf(g, column))]);
    }
    const softmax = g.op('Softmax', [scores], { axis: -1 });
    const alive = optional('alive', [plane, 'rows', 1]);
    const living = alive ? g.op('Mul', [softmax, alive]) : softmax;
    const sink = optional('sink', ['heads', sinkRows, 1]);
    const probabilities = sink ? g.op('Mul', [living, keptBeside(g, sink, scores, softmax)]) : living;
    const weights = reshaped(probabilities, grouped, [kvs, kvRows, 'columns']);
    const context = g.op('MatMul', [weights, visibleOf('v', valueDim)]);
    const byHead = reshaped(context, apart, ['heads', 'rows', valueDim]);
    const inOrder = g.op('Gather', [byHead, g.input('back', 'int32', ['rows'])], { axis: 1 });
    g.output('output', narrow(inOrder));
    part.build(g, {
      scores: narrow(scores),
      softmax: narrow(softmax),
      probabilities: narrow(probabilities),
      sunk: sink !== null,
    });
  });
}

/** [rows, columns]: what hides the columns before the first and behind the last that a row sees. Int32 and float32 alone, which devices have. */
function maskOf(g: GraphBuilder, column: Value): Value {
  const isLess = (a: Value, b: Value) => g.op('Cast', [g.op('Less', [a, b])], { to: ElementType.float32 });
  const before = isLess(column, g.input('firstSeen', 'int32', ['rows', 1]));
  const behind = isLess(g.input('lastSeen', 'int32', ['rows', 1]), column);
  return g.op('Mul', [g.op('Add', [before, behind]), g.float(HIDDEN)]);
}

/** [planes, rows, columns] by the offset, which stands at column + row. */
function biasOf(g: GraphBuilder, column: Value, planes: string | number): Value {
  const places = g.op('Add', [g.input('row', 'int32', ['rows', 1]), column]);
  return g.op('Gather', [g.input('biasByOffset', 'float32', [planes, 'offsets']), places], { axis: 1 });
}

/** [heads, rows, 1]: the share of each row's mass that a sink leaves to the keys, 1 / (1 + exp(sink - log-sum-exp)). */
function keptBeside(g: GraphBuilder, sink: Value, scores: Value, softmax: Value): Value {
  const most = (value: Value) => g.op('ReduceMax', [value, g.int([-1])], { keepdims: 1 });
  const lse = g.op('Sub', [most(scores), g.op('Log', [most(softmax)])]);
  return g.op('Sigmoid', [g.op('Sub', [lse, sink])]);
}
