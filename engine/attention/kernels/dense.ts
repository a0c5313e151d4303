import {
  additiveOf,
  differsByHead,
  padding,
  planBlock,
  planBlocks,
  type Additive,
  type Block,
} from './blocks';
import { ownMap, ownOutput, type CoreInput } from '../core';
import {
  blockFeeds,
  blockGraph,
  wholeRange,
  type BlockValues,
  type HeadRange,
  type HeldRange,
  type StoredKeys,
} from './denseGraph';
import type { AttendContext } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import type { GraphBuilder } from '../../runtime/graphBuilder';
import type { Held, Runtime } from '../../runtime/runtime';
import { withScratch, type Scratch } from '../../runtime/scratch';
import { float32, floats, type Tensor } from '../../runtime/tensor';

export type { BlockValues } from './denseGraph';
export type DenseContext = Pick<AttendContext, 'runtime' | 'signal'>;

export type Shapes = Record<string, readonly number[]>;

/** One run: a block of queries of some heads. */
export interface BlockRun extends HeadRange {
  block: Block;
  additive: Additive;
  /** [heads, rows] log-sum-exp of `scores`, -Infinity for rows that see nothing; rows last query first. */
  lse: Float32Array;
  results: Record<string, Tensor>;
}

/** What is computed of a block beside the output while its probabilities exist. */
export interface BlockFold {
  /** Names the graph; equal keys build equal graphs. */
  key: string;
  build(graph: GraphBuilder, values: BlockValues): void;
  feeds(block: Block): Record<string, Tensor>;
  /** Shapes of results that are written to the same memory by every run. */
  shapes?(block: Block, heads: number): Shapes;
  /** What it keeps of the results, it copies. */
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
 * `fold` sees every block once, heads innermost. Of a native core it is the model's own map and output.
 * `rows`: of these queries only, a block each; null = all.
 */
export async function denseCore(
  given: CoreInput,
  context: DenseContext,
  fold?: BlockFold,
  rows: readonly { from: number; rows: number }[] | null = null,
): Promise<DenseResult> {
  const input = ownMap(given);
  const { heads, queries, valueDim } = input;
  const output = new Float32Array(heads * queries * valueDim);
  const lse = new Float32Array(heads * queries).fill(-Infinity);
  await walk(
    input,
    context,
    withLse(fold),
    fold !== undefined,
    (range, block, additive, results) => {
      const run: BlockRun = {
        ...range,
        block,
        additive,
        lse: logSumExp(results, additive, block.rows, range.heads),
        results,
      };
      placeOutput(run, input, output);
      placeLse(run, input, lse);
      fold?.take(run);
    },
    rows,
  );
  return { output: (await ownOutput(given)) ?? output, lse };
}

/** The output alone, [heads, queries, valueDim]. */
export async function denseOutput(given: CoreInput, context: DenseContext): Promise<Float32Array> {
  const own = await ownOutput(given);
  if (own) return own;
  const input = ownMap(given);
  const output = new Float32Array(input.heads * input.queries * input.valueDim);
  await walk(input, context, plain, false, (range, block, _, results) =>
    placeOutput({ ...range, block, results }, input, output),
  );
  return output;
}

const MANY_KEYS = 4096;

/** More is given to a device anew with every run: how much memory it has is not known, and to run out of it can end the process. */
const MOST_HELD = 2 ** 30;

type GraphPart = Pick<BlockFold, 'key' | 'build'> & Partial<BlockFold>;
type TakeRun = (range: HeadRange, block: Block, additive: Additive, results: Record<string, Tensor>) => void;

/** Runs every block of every head; short texts take several heads at once. */
function walk(
  input: CoreInput,
  context: DenseContext,
  part: GraphPart,
  relative: boolean,
  take: TakeRun,
  only: readonly { from: number; rows: number }[] | null = null,
): Promise<void> {
  return withScratch(context.runtime, scratch =>
    walkWith(scratch, input, context, part, relative, take, only),
  );
}

async function walkWith(
  scratch: Scratch,
  input: CoreInput,
  context: DenseContext,
  part: GraphPart,
  relative: boolean,
  take: TakeRun,
  only: readonly { from: number; rows: number }[] | null,
): Promise<void> {
  const { kvHeads, valueDim } = input;
  const group = input.heads / kvHeads;
  const size = blockSize(input, context, relative);
  const stored = relative ? padKeys(input, size.rows, scratch) : unpadded(input);
  const roomForAdditive = (length: number) => scratch.floats('additive', length);
  const onDevice = context.runtime.report.device !== 'cpu';
  const additiveFor = (block: Block, { head, heads }: HeadRange) =>
    additiveOf(input, block, head, heads, roomForAdditive, onDevice);
  const bytes = 4 * (input.q.length + stored.k.length + stored.v.length);
  const held = onDevice && bytes <= MOST_HELD ? new HeldRanges(input, stored, context.runtime) : null;
  const blocks = only
    ? only.flatMap(({ from, rows }) => planBlock(input, from, rows, relative) ?? [])
    : planBlocks(input, size.rows, relative);
  const headsAtOnce = (columns: number, rows: number) => {
    // Of few rows, cutting many keys out for several heads would cost more than the scores.
    if (only && columns > MANY_KEYS) return 1;
    return evenShare(kvHeads, size.elements / (group * rows * columns));
  };
  // What a device holds serves all blocks, so they take the same heads.
  const always = held && headsAtOnce(stored.keys, size.rows);
  try {
    for (const block of blocks) {
      const feeds = part.feeds?.(block);
      const shared = differsByHead(input.rule) ? null : additiveFor(block, { head: 0, heads: 1 });
      const atOnce = always ?? headsAtOnce(block.columns, block.rows);
      for (let kv = 0; kv < kvHeads; kv += atOnce) {
        await checkpoint(context.signal);
        const range = { head: kv * group, heads: Math.min(atOnce, kvHeads - kv) * group };
        const additive = shared ?? additiveFor(block, range);
        const core = blockFeeds(input, block, range, additive, stored, (await held?.of(range)) ?? null);
        const session = await blockGraph(input, core, additive, context.runtime, part);
        const shapes = { ...part.shapes?.(block, range.heads), output: [range.heads, block.rows, valueDim] };
        const into = buffersFor(shapes, scratch);
        take(range, block, additive, await session.run({ ...core, ...feeds }, undefined, into));
      }
    }
  } finally {
    held?.release();
  }
}

/** Queries, keys and values on the device, brought there once for all blocks of a core. */
class HeldRanges {
  private readonly held = new Map<number, Held<'q' | 'k' | 'v'>>();

  constructor(
    private readonly input: CoreInput,
    private readonly stored: StoredKeys,
    private readonly runtime: Runtime,
  ) {}

  async of(range: HeadRange): Promise<HeldRange> {
    let held = this.held.get(range.head);
    if (!held) {
      held = await this.runtime.hold(wholeRange(this.input, range, this.stored));
      this.held.set(range.head, held);
    }
    return held.feeds;
  }

  release(): void {
    for (const held of this.held.values()) held.release();
  }
}

function buffersFor(shapes: Shapes, scratch: Scratch): Record<string, Tensor> {
  const buffers: Record<string, Tensor> = {};
  for (const [name, dims] of Object.entries(shapes)) {
    const length = dims.reduce((a, b) => a * b, 1);
    buffers[name] = float32(scratch.floats(name, length), dims);
  }
  return buffers;
}

/** How many of `total` to take at once: at most `limit`, and about as many in the last round as in the others. */
function evenShare(total: number, limit: number): number {
  const most = Math.max(1, Math.min(total, Math.floor(limit)));
  return Math.ceil(total / Math.ceil(total / most));
}

/** Probabilities of queries from .. to-1 of one head, [to - from, keys]. */
export async function denseRows(
  given: CoreInput,
  head: number,
  from: number,
  to: number,
  context: DenseContext,
): Promise<Float32Array> {
  const input = ownMap(given);
  const { keys } = input;
  const rows = new Float32Array((to - from) * keys);
  const step = blockSize(input, context, false).rows;
  for (let first = from; first < to; first += step) {
    await checkpoint(context.signal);
    const block = planBlock(input, first, Math.min(step, to - first), false);
    if (!block) continue;
    const additive = additiveOf(input, block, head, 1);
    const core = blockFeeds(input, block, { head, heads: 1 }, additive, unpadded(input));
    const session = await blockGraph(input, core, additive, context.runtime, probabilities);
    const results = await session.run(core, ['probabilities']);
    const p = floats(results['probabilities']!);
    for (let r = 0; r < block.rows; r++) {
      const at = (first - from + block.rows - 1 - r) * keys + block.firstKey;
      rows.set(p.subarray(r * block.columns, (r + 1) * block.columns), at);
    }
  }
  return rows;
}

const plain: GraphPart = { key: 'plain', build: () => undefined };
const probabilities: GraphPart = {
  key: 'rows',
  build: (g, values) => g.output('probabilities', values.probabilities),
};

/**
 * Queries per block and scores per run. On a CPU the scores of a run should stay near the cores; a GPU wants more work
 * per launch.
 */
function blockSize(
  input: CoreInput,
  { runtime }: DenseContext,
  relative: boolean,
): { rows: number; elements: number } {
  const onCpu = runtime.report.device === 'cpu';
  const elements = onCpu ? 2 ** 20 : 2 ** 23;
  const group = input.heads / input.kvHeads;
  const wished = 2 ** Math.round(Math.log2(elements / (group * Math.max(1, input.keys))));
  const most = onCpu ? (relative || input.keys <= 512 ? 128 : 256) : 1024;
  return { rows: Math.max(16, Math.min(most, wished)), elements };
}

const unpadded = ({ k, v, keys }: CoreInput): StoredKeys => ({ k, v, front: 0, keys });

function padKeys(input: CoreInput, rows: number, scratch: Scratch): StoredKeys {
  const { kvHeads, keys, dim, valueDim } = input;
  const { front, back } = padding(input, rows);
  const total = front + keys + back;
  const pad = (name: string, data: Float32Array, width: number) => {
    const padded = scratch.floats(name, kvHeads * total * width);
    for (let h = 0; h < kvHeads; h++) {
      const head = padded.subarray(h * total * width, (h + 1) * total * width);
      head.fill(0, 0, front * width);
      head.set(data.subarray(h * keys * width, (h + 1) * keys * width), front * width);
      head.fill(0, (front + keys) * width);
    }
    return padded;
  };
  return { k: pad('k', input.k, dim), v: pad('v', input.v, valueDim), front, keys: total };
}

/** log-sum-exp of a row = its largest score - log of its largest probability. */
const withLse = (fold?: BlockFold): GraphPart => ({
  feeds: block => fold?.feeds(block) ?? {},
  shapes: (block, heads) => ({
    ...fold?.shapes?.(block, heads),
    largestScore: [heads, block.rows],
    largestProbability: [heads, block.rows],
  }),
  key: `lse+${fold?.key ?? ''}`,
  build(g, values) {
    g.output('largestScore', g.op('ReduceMax', [values.scores, g.int([-1])], { keepdims: 0 }));
    g.output('largestProbability', g.op('ReduceMax', [values.softmax, g.int([-1])], { keepdims: 0 }));
    fold?.build(g, values);
  },
});

function logSumExp(
  results: Record<string, Tensor>,
  { visible, planes }: Additive,
  rows: number,
  heads: number,
): Float32Array {
  const score = floats(results['largestScore']!);
  const probability = floats(results['largestProbability']!);
  const lse = new Float32Array(heads * rows);
  for (let t = 0; t < lse.length; t++) {
    const seen = visible[planes === 1 ? t % rows : t]!;
    lse[t] = seen === 0 ? -Infinity : score[t]! - Math.log(probability[t]!);
  }
  return lse;
}

/** Copies a run's output, first query first, to its place. */
function placeOutput(
  { block, head, heads, results }: Pick<BlockRun, 'block' | 'head' | 'heads' | 'results'>,
  { queries, valueDim }: CoreInput,
  output: Float32Array,
): void {
  const rows = floats(results['output']!);
  const size = block.rows * valueDim;
  for (let h = 0; h < heads; h++) {
    output.set(rows.subarray(h * size, (h + 1) * size), ((head + h) * queries + block.from) * valueDim);
  }
}

function placeLse(
  { block, head, heads, additive: { shift, planes }, lse: blockLse }: BlockRun,
  { queries }: CoreInput,
  lse: Float32Array,
): void {
  for (let h = 0; h < heads; h++) {
    const last = (head + h) * queries + block.from + block.rows - 1;
    for (let r = 0; r < block.rows; r++) {
      const from = h * block.rows + r;
      lse[last - r] = blockLse[from]! + (shift?.[planes === 1 ? r : from] ?? 0);
    }
  }
}
