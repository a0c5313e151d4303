/** Attention weighed by what its values say (Kobayashi et al., Attention is Not Only a Weight: Analyzing Transformers with Vector Norms, 2020). */
import type { Analysis } from './analysis';
import { ownMap, type CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { RefusedError } from '../errors';
import type { Written } from '../model/cut/headWrites';
import { checkpoint } from '../runtime/cancellation';
import type { HeadRef, ValueWeights } from '../../shared/protocol/engine';

/** `analysis/valueWeights`; the latest heads are kept. */
export function valueWeights(analysis: Analysis, asked: HeadRef, signal: AbortSignal): Promise<ValueWeights> {
  const { core, head } = asked;
  analysis.head(core, head);
  if (analysis.standIn)
    throw new RefusedError(
      'This text was analyzed without a dense pass: what values say of every query needs one.',
    );
  return analysis.shared(`values|${core}|${head}`, own => weigh(analysis, asked, own), signal);
}

/** The part of them that is of keys, without a pass over all pairs. */
export function valueNorms(
  analysis: Analysis,
  { core, head }: HeadRef,
  signal: AbortSignal,
): Promise<ValueNorms> {
  return analysis.shared(`norms|${core}|${head}`, own => normsOf(analysis, core, head, own), signal);
}

type ValueNorms = Pick<ValueWeights, 'projected' | 'norms'>;

async function weigh(analysis: Analysis, asked: HeadRef, signal: AbortSignal): Promise<ValueWeights> {
  const { projected, norms } = await valueNorms(analysis, asked, signal);
  const input = ownMap(await analysis.headTensors(asked.core, asked.head, signal));
  // What each query gets in all: its attention to one number for each key.
  const sums = await denseOutput({ ...input, v: norms, valueDim: 1 }, analysis.context(signal));
  return { projected, norms, sums };
}

async function normsOf(
  analysis: Analysis,
  core: number,
  head: number,
  signal: AbortSignal,
): Promise<ValueNorms> {
  const { heads } = analysis.core(core).outline;
  const alone = ownMap(await analysis.headTensors(core, head, signal));
  const targetIds = analysis.target?.tokens.ids;
  return analysis.model.writes(core, analysis.tokens.ids, { targetIds }, async written =>
    written
      ? { projected: true, norms: await writtenNorms(written, alone, head, heads, signal) }
      : { projected: false, norms: rowNorms(alone.v, alone.keys) },
  );
}

/** Norms of what the values of a head add to the residual stream; biases of the projection belong to no key. */
async function writtenNorms(
  written: Written,
  { queries, keys, valueDim, v }: CoreInput,
  head: number,
  heads: number,
  signal: AbortSignal,
): Promise<Float32Array> {
  const size = queries * valueDim;
  const nothing = await written(new Float32Array(heads * size));
  const norms = new Float32Array(keys);
  for (let from = 0; from < keys; from += queries) {
    await checkpoint(signal);
    const context = new Float32Array(heads * size);
    context.set(v.subarray(from * valueDim, (from + queries) * valueDim), head * size);
    const added = (await written(context)).map((value, at) => value - nothing[at]!);
    norms.set(rowNorms(added, queries).subarray(0, keys - from), from);
  }
  return norms;
}

function rowNorms(values: Float32Array, rows: number): Float32Array {
  const width = values.length / rows;
  const norm = (row: number) => {
    let square = 0;
    for (const value of values.subarray(row * width, (row + 1) * width)) square += value * value;
    return Math.sqrt(square);
  };
  return Float32Array.from({ length: rows }, (_, row) => norm(row));
}

/** Share of a query's sum that one key gives. */
export const valueShare = (
  { norms, sums }: ValueWeights,
  mass: number,
  query: number,
  key: number,
): number => (sums[query]! > 0 ? (mass * norms[key]!) / sums[query]! : 0);
