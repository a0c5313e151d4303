import {
  additiveOf,
  differsByHead,
  padding,
  planBlock,
  planBlocks,
  type Additive,
  type Block,
} from './blocks';
import { LOST_SCORES, type CoreInput } from './core';
import type { AttendContext } from './mechanism';
import { checkpoint } from '../runtime/cancellation';
import type { GraphBuilder, Value } from '../runtime/graphBuilder';
import { ElementType } from '../runtime/onnxProto';
import type { Session } from '../runtime/runtime';
import { float32, floats, type Tensor } from '../runtime/tensor';

export type DenseContext = Pick<AttendContext, 'runtime' | 'cancellation'>;

/** Values inside the graph of one block. Rows: last query first (see blocks.ts). */
export interface BlockValues {
  /** [group, rows, columns]: scores as the softmax sees them, hidden keys far below all others. */
  scores: Value;
  /** [group, rows, columns]; rows that see nothing are 0. */
  probabilities: Value;
}

/** One run: a block of queries of the heads that share one key/value head. */
export interface BlockRun {
  block: Block;
  /** First head and number of heads. */
  head: number;
  group: number;
  additive: Additive;
  /** [group, rows] log-sum-exp of `scores`, -Infinity for rows that see nothing; rows last query first. */
  lse: Float32Array;
  results: Record<string, Tensor>;
}

/** What is computed of a block beside the output while its probabilities exist. */
export interface BlockFold {
  /** Names the graph; equal keys build equal graphs. */
  key: string;
  build(graph: GraphBuilder, values: BlockValues): void;
  feeds(block: Block): Record<string, Tensor>;
  /** Buffers for large results, used again from run to run. */
  into?(block: Block, group: number): Record<string, Tensor>;
  take(run: BlockRun): void;
}

export interface DenseResult {
  /** [heads, queries, valueDim] */
  output: Float32Array;
  /** [heads, queries]; -Infinity for queries that see nothing. */
  lse: Float32Array;
}

/**
 * Softmax attention in blocks of query rows against the keys they can see; memory grows with the keys, not their square.
 * `fold` sees every block once, heads innermost.
 */
export async function denseCore(
  input: CoreInput,
  context: DenseContext,
  fold?: BlockFold,
): Promise<DenseResult> {
  const { heads, kvHeads, queries, valueDim } = input;
  const group = heads / kvHeads;
  const output = new Float32Array(heads * queries * valueDim);
  const lse = new Float32Array(heads * queries).fill(-Infinity);
  const rows = blockRows(input, context);
  const stored = fold ? padKeys(input, rows) : { k: input.k, v: input.v, front: 0, keys: input.keys };
  for (const block of planBlocks(input, rows, fold !== undefined)) {
    const feeds = fold?.feeds(block) ?? {};
    const shared =
      input.rule.bias === null && !differsByHead(input.rule) ? additiveOf(input, block, 0, 1) : null;
    for (let kv = 0; kv < kvHeads; kv++) {
      await checkpoint(context.cancellation);
      const head = kv * group;
      const additive = shared ?? additiveOf(input, block, head, group);
      const session = await blockGraph(input, additive, context, fold ?? plain);
      const results = await session.run(
        { ...coreFeeds(input, block, head, group, additive, stored), ...feeds },
        undefined,
        fold?.into?.(block, group),
      );
      const run: BlockRun = {
        block,
        head,
        group,
        additive,
        lse: logSumExp(results, additive, block.rows, group),
        results,
      };
      place(run, floats(results['output']!), input, output, lse);
      fold?.take(run);
    }
  }
  return { output, lse };
}

/** The output alone, [heads, queries, valueDim]. */
export async function denseOutput(input: CoreInput, context: DenseContext): Promise<Float32Array> {
  return (await denseCore(input, context)).output;
}

/** Probabilities of queries from .. to-1 of one head, [to - from, keys]. */
export async function denseRows(
  input: CoreInput,
  head: number,
  from: number,
  to: number,
  context: DenseContext,
): Promise<Float32Array> {
  const { keys } = input;
  const rows = new Float32Array((to - from) * keys);
  const step = blockRows(input, context);
  for (let first = from; first < to; first += step) {
    await checkpoint(context.cancellation);
    const block = planBlock(input, first, Math.min(step, to - first), false);
    if (!block) continue;
    const additive = additiveOf(input, block, head, 1);
    const session = await blockGraph(input, additive, context, probabilities);
    const stored = { k: input.k, v: input.v, front: 0, keys };
    const results = await session.run(coreFeeds(input, block, head, 1, additive, stored), ['probabilities']);
    const p = floats(results['probabilities']!);
    for (let r = 0; r < block.rows; r++) {
      const at = (first - from + block.rows - 1 - r) * keys + block.firstKey;
      rows.set(p.subarray(r * block.columns, (r + 1) * block.columns), at);
    }
  }
  return rows;
}

const plain = { key: 'plain', build: () => undefined };
const probabilities = {
  key: 'rows',
  build: (g: GraphBuilder, values: BlockValues) => g.output('probabilities', values.probabilities),
};

/**
 * Queries per block. On a CPU a block's scores should stay in the cache; a GPU wants more work per launch.
 */
function blockRows(input: CoreInput, { runtime }: DenseContext): number {
  const elements = runtime.report.device === 'cpu' ? 2 ** 19 : 2 ** 23;
  const group = input.heads / input.kvHeads;
  const rows = elements / (group * Math.max(1, input.keys));
  return Math.max(
    16,
    Math.min(runtime.report.device === 'cpu' ? 128 : 1024, 2 ** Math.round(Math.log2(rows))),
  );
}

/** K and V with room for keys before the first and after the last. */
interface StoredKeys {
  k: Float32Array;
  v: Float32Array;
  front: number;
  /** Rows stored per key/value head. */
  keys: number;
}

function padKeys(input: CoreInput, rows: number): StoredKeys {
  const { kvHeads, keys, dim, valueDim } = input;
  const { front, back } = padding(input, rows);
  const total = front + keys + back;
  const pad = (data: Float32Array, width: number) => {
    const padded = new Float32Array(kvHeads * total * width);
    for (let h = 0; h < kvHeads; h++) {
      padded.set(data.subarray(h * keys * width, (h + 1) * keys * width), (h * total + front) * width);
    }
    return padded;
  };
  return { k: pad(input.k, dim), v: pad(input.v, valueDim), front, keys: total };
}

function coreFeeds(
  input: CoreInput,
  block: Block,
  head: number,
  group: number,
  additive: Additive,
  stored: StoredKeys,
): Record<string, Tensor> {
  const { dim, valueDim, rule } = input;
  const { rows, columns } = block;
  const kv = Math.floor((head * input.kvHeads) / input.heads);
  const first = kv * stored.keys + stored.front + block.firstKey;
  return {
    q: float32(scaledQueries(input, block, head, group, additive), [group, rows, dim]),
    k: float32(stored.k.subarray(first * dim, (first + columns) * dim), [columns, dim]),
    v: float32(stored.v.subarray(first * valueDim, (first + columns) * valueDim), [columns, valueDim]),
    ...(additive.data ? { additive: float32(additive.data, [additive.planes, rows, columns]) } : {}),
    ...(hasEmptyRows(additive) ? { alive: aliveRows(additive, rows) } : {}),
    ...(rule.softCap === null ? {} : { cap: float32(Float32Array.of(rule.softCap), []) }),
  };
}

/** Queries of a block times their scale, last query first, [group, rows, dim]. */
function scaledQueries(
  input: CoreInput,
  block: Block,
  head: number,
  group: number,
  { shift, planes }: Additive,
): Float32Array {
  const { dim, queries, q, rule } = input;
  const scaled = new Float32Array(group * block.rows * dim);
  let to = 0;
  for (let h = head; h < head + group; h++) {
    const scale = rule.scale[h]!;
    for (let r = 0; r < block.rows; r++) {
      const at = (h * queries + block.from + block.rows - 1 - r) * dim;
      const bias = shift?.[(planes === 1 ? 0 : h - head) * block.rows + r] ?? 0;
      const factor = Math.abs(bias) < LOST_SCORES ? scale : 0;
      for (let c = 0; c < dim; c++) scaled[to++] = q[at + c]! * factor;
    }
  }
  return scaled;
}

function hasEmptyRows({ visible }: Additive): boolean {
  return visible.includes(0);
}

function aliveRows({ visible, planes }: Additive, rows: number): Tensor {
  return float32(
    Float32Array.from(visible, count => (count > 0 ? 1 : 0)),
    [planes, rows, 1],
  );
}

function blockGraph(
  input: CoreInput,
  additive: Additive,
  { runtime }: DenseContext,
  fold: Pick<BlockFold, 'key' | 'build'>,
): Promise<Session> {
  const { dim, valueDim } = input;
  const capped = input.rule.softCap !== null;
  const masked = additive.data !== null;
  const gaps = hasEmptyRows(additive);
  // Named alike, so that ONNX Runtime sees equal shapes and adds in place.
  const planes = additive.planes === 1 ? 1 : 'group';
  // GPUs have no float64.
  const precise = input.precise === true && runtime.report.device === 'cpu';
  const key = `dense|${fold.key}|${dim}|${valueDim}|${capped}|${masked}|${gaps}|${planes}|${precise}`;
  return runtime.graph(key, g => {
    const cast = (to: number) => (x: Value) => (precise ? g.op('Cast', [x], { to }) : x);
    const wide = cast(ElementType.float64);
    const narrow = cast(ElementType.float32);
    const given = (name: string, dims: (number | string)[]) => wide(g.input(name, 'float32', dims));
    const q = given('q', ['group', 'rows', dim]);
    const k = given('k', ['columns', dim]);
    const v = given('v', ['columns', valueDim]);
    let scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [1, 0] })]);
    if (capped) {
      const cap = given('cap', []);
      scores = g.op('Mul', [g.op('Tanh', [g.op('Div', [scores, cap])]), cap]);
    }
    if (masked) scores = g.op('Add', [scores, given('additive', [planes, 'rows', 'columns'])]);
    let p = g.op('Softmax', [scores], { axis: -1 });
    g.output('largestScore', narrow(g.op('ReduceMax', [scores, g.int([-1])], { keepdims: 0 })));
    g.output('largestProbability', narrow(g.op('ReduceMax', [p, g.int([-1])], { keepdims: 0 })));
    if (gaps) p = g.op('Mul', [p, given('alive', [planes, 'rows', 1])]);
    g.output('output', narrow(g.op('MatMul', [p, v])));
    fold.build(g, { scores: narrow(scores), probabilities: narrow(p) });
  });
}

/** log-sum-exp of a row = its largest score - log of its largest probability. */
function logSumExp(
  results: Record<string, Tensor>,
  { visible, planes }: Additive,
  rows: number,
  group: number,
): Float32Array {
  const score = floats(results['largestScore']!);
  const probability = floats(results['largestProbability']!);
  const lse = new Float32Array(group * rows);
  for (let t = 0; t < lse.length; t++) {
    const seen = visible[planes === 1 ? t % rows : t]!;
    lse[t] = seen === 0 ? -Infinity : score[t]! - Math.log(probability[t]!);
  }
  return lse;
}

/** Copies a block's rows to their place, first query first. */
function place(
  { block, head, group, additive: { shift, planes }, lse: blockLse }: BlockRun,
  rows: Float32Array,
  input: CoreInput,
  output: Float32Array,
  lse: Float32Array,
): void {
  const { queries, valueDim } = input;
  for (let g = 0; g < group; g++) {
    for (let r = 0; r < block.rows; r++) {
      const from = g * block.rows + r;
      const to = (head + g) * queries + block.from + block.rows - 1 - r;
      output.set(rows.subarray(from * valueDim, (from + 1) * valueDim), to * valueDim);
      lse[to] = blockLse[from]! + (shift?.[planes === 1 ? r : from] ?? 0);
    }
  }
}
