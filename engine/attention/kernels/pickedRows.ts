/** Rows of one head's dense map at chosen queries, for any stretch of their keys. */
import { additiveOf, planPicked, type Additive, type Block } from './blocks';
import { ownMap, type CoreInput, type Stretch } from '../core';
import type { DenseContext } from './dense';
import { blockFeeds, blockGraph, type BlockValues } from './denseGraph';
import { someHeads } from './subset';
import { checkpoint } from '../../runtime/cancellation';
import type { GraphBuilder } from '../../runtime/graphBuilder';
import { float32, floats, type Tensor } from '../../runtime/tensor';

/**
 * What turns scores of these queries into masses without the other keys at hand: their largest score, and its mass. That is how a softmax
 * itself is computed, so no digit is lost by it, as would be with log-sum-exps in float32.
 */
export interface PickedRows {
  /** Ascending. */
  queries: Int32Array;
  largestScore: Float32Array;
  /** 0 for queries that see nothing. */
  largestMass: Float32Array;
  /** Sum over the keys of mass * weight; without weights, of the masses. */
  sums: Float32Array;
}

/** Scores of one run. */
const RUN_SCORES = 2 ** 21;

/** Reads all keys of these queries once. `weights`: a number for each key. */
export async function pickRows(
  given: CoreInput,
  head: number,
  queries: Int32Array,
  context: DenseContext,
  weights: Float32Array = new Float32Array(given.keys).fill(1),
): Promise<PickedRows> {
  const input = weighedBy(given, head, weights);
  const none = () => new Float32Array(queries.length);
  const rows: PickedRows = { queries, largestScore: none(), largestMass: none(), sums: none() };
  const all = { from: 0, to: input.keys };
  for await (const { first, block, results } of runs(input, queries, all, context, frame)) {
    const [score, mass, sum] = [results['largestScore']!, results['largestMass']!, results['output']!];
    rows.largestScore.set(floats(score).toReversed(), first);
    rows.largestMass.set(floats(mass).toReversed(), first);
    rows.sums.set(floats(sum).subarray(0, block.rows), first);
  }
  return rows;
}

/** Masses of one query at the keys from `firstKey` on. */
export interface PickedMass {
  /** Its place among the picked. */
  at: number;
  query: number;
  firstKey: number;
  mass: Float32Array;
}

/** The masses of picked rows at some keys, query by query; keys that none of a run may see are left out. */
export async function* massesAt(
  given: CoreInput,
  head: number,
  picked: PickedRows,
  keys: Stretch,
  context: DenseContext,
): AsyncGenerator<PickedMass> {
  const input = weighedBy(given, head, new Float32Array(given.keys));
  const { queries, largestScore, largestMass } = picked;
  const column = (values: Float32Array, { first, rows }: { first: number; rows: number }) =>
    float32(values.slice(first, first + rows).reverse(), [1, rows, 1]);
  const own = (run: { first: number; rows: number }) => ({
    largestScore: column(largestScore, run),
    largestMass: column(largestMass, run),
  });
  for await (const { first, block, results } of runs(input, queries, keys, context, shares, own)) {
    const { rows, columns, firstKey } = block;
    const mass = floats(results['masses']!);
    for (let r = rows - 1; r >= 0; r--) {
      const at = first + rows - 1 - r;
      yield { at, query: queries[at]!, firstKey, mass: mass.subarray(r * columns, (r + 1) * columns) };
    }
  }
}

/** The head alone, its values one number each: an output of full width would cost as much as the scores. */
function weighedBy(given: CoreInput, head: number, weights: Float32Array): CoreInput {
  return { ...someHeads(ownMap(given), [head]), v: weights, valueDim: 1 };
}

interface Part {
  key: string;
  build(graph: GraphBuilder, values: BlockValues): void;
}

interface Run {
  /** Place of its first query among the picked. */
  first: number;
  block: Block;
  results: Record<string, Tensor>;
}

async function* runs(
  input: CoreInput,
  queries: Int32Array,
  keys: Stretch,
  context: DenseContext,
  part: Part,
  own: (run: { first: number; rows: number }) => Record<string, Tensor> = () => ({}),
): AsyncGenerator<Run> {
  const step = Math.max(1, Math.min(256, Math.floor(RUN_SCORES / Math.max(1, keys.to - keys.from))));
  for (let first = 0; first < queries.length; first += step) {
    await checkpoint(context.signal);
    const block = planPicked(input, queries.subarray(first, first + step), keys);
    if (!block) continue;
    const additive: Additive = additiveOf(input, block, 0, 1);
    const stored = { k: input.k, v: input.v, front: 0, keys: input.keys };
    const feeds = blockFeeds(input, block, { head: 0, heads: 1 }, additive, stored);
    const session = await blockGraph(input, feeds, additive, context.runtime, part);
    const results = await session.run({ ...feeds, ...own({ first, rows: block.rows }) });
    yield { first, block, results };
  }
}

const frame: Part = {
  key: 'frame',
  build(g, { scores, probabilities }) {
    g.output('largestScore', g.op('ReduceMax', [scores, g.int([-1])], { keepdims: 0 }));
    g.output('largestMass', g.op('ReduceMax', [probabilities, g.int([-1])], { keepdims: 0 }));
  },
};

const shares: Part = {
  key: 'masses',
  build(g, { scores }) {
    const row = (name: string) => g.input(name, 'float32', ['heads', 'rows', 1]);
    const most = g.op('Exp', [g.op('Sub', [scores, row('largestScore')])]);
    g.output('masses', g.op('Mul', [most, row('largestMass')]));
  },
};
