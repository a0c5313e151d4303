import { shuffler } from 'd3-array';
import type { Analysis } from './analysis';
import { attendAsKnown, attendDense, effectOf } from './changedRun';
import { rowLoss } from '../measure/loss';
import type { CoreInput } from '../attention/core';
import { RefusedError } from '../errors';
import type { ModelOutput } from '../model/cut/cutModel';
import type { Ablation, HeadAblation, RunEffect } from '../../shared/protocol/engine';
import { mean, sum } from '../statistics';
import { SEEDS, seededUniform } from '../../shared/random';
import { changeOf } from '../../shared/uncertainty';

export interface AblationHooks {
  onHead?(head: HeadAblation, measure: Ablation['measure']): void;
  onProgress?(fraction: number): void;
  /** The change at every token that counts, where the head's output is zero. */
  onEffect?(core: number, head: number, perToken: Float32Array): void;
  /** Which of the effect's tokens count; absent = all. */
  counts?(token: number): boolean;
  /** Also with the head's outputs of other queries: one more run for each head. */
  resample?: boolean;
}

const WITHOUT = { zero: silenced, mean: levelled, resample: mixed } as const;

/**
 * What the model loses without each head (propagated): its output is zero, its mean over the queries, or that of others. The text runs
 * once; behind each core, that run goes on once for each head and way, so nothing before the core is computed again.
 */
export async function ablateHeads(
  analysis: Analysis,
  signal: AbortSignal,
  { onHead, onEffect, onProgress, counts = () => true, resample = false }: AblationHooks = {},
): Promise<Ablation> {
  const { cores } = analysis.model.info;
  const heads: HeadAblation[] = [];
  let measure: Ablation['measure'] = analysis.loss ? 'loss' : 'output';
  const tokens = analysis.loss?.length ?? analysis.tokens.ids.length;
  const counted = Int32Array.from(Array.from({ length: tokens }, (_, token) => token).filter(counts));
  if (counted.length === 0)
    throw new RefusedError(
      'No token of this text is predicted from others: there is no loss for a head to change.',
    );
  const remaining = (after: number) => sum(cores.map(({ core }) => (core > after ? 1 : 0))) + 1;
  const work = sum(cores.map(({ core, heads: count }) => count * remaining(core)));
  let done = 0;
  const dense = attendDense(analysis, signal);
  const readings = analysis.readings();
  const masked = new MaskedEffects(analysis, signal);
  for (const [at, reading] of readings.entries()) {
    const isLast = at === readings.length - 1;
    await analysis.runOn(reading.ids, attendAsKnown(analysis, signal), {
      signal,
      onContext: async ({ core, heads: count }, context, goOn) => {
        for (let head = 0; head < count; head++) {
          const change = async (way: keyof typeof WITHOUT): Promise<Float32Array> => {
            const output = await goOn(WITHOUT[way](context, analysis.core(core).outline, head), dense);
            const key = `${core}.${head} ${way}`;
            if (!reading.hidden && analysis.loss) return lossChanges(analysis, output, counted, signal);
            const effect = reading.hidden
              ? await masked.add(key, reading.hidden, output)
              : await effectOf(analysis, output, signal);
            ({ measure } = effect);
            return effect.perToken.filter((_, token) => counts(token));
          };
          const [zero, level] = [await change('zero'), await change('mean')];
          const other = resample ? await change('resample') : null;
          done += remaining(core);
          onProgress?.(done / (work * readings.length));
          if (!isLast) continue;
          const found = {
            core,
            head,
            zero: changeOf({ perToken: zero }),
            mean: changeOf({ perToken: level }),
            ...(other && { resample: changeOf({ perToken: other }) }),
          };
          heads.push(found);
          onEffect?.(core, head, zero);
          onHead?.(found, measure);
        }
      },
    });
  }
  return { measure, heads };
}

/** Of these tokens alone: no logits of others are computed. */
async function lossChanges(
  analysis: Analysis,
  output: ModelOutput,
  tokens: Int32Array,
  signal: AbortSignal,
): Promise<Float32Array> {
  const predicted = tokens.map(token => analysis.written.ids[token + 1]!);
  const losses = await rowLoss(output.only(tokens), predicted, analysis.context(signal));
  return losses.map((loss, at) => loss - analysis.loss![tokens[at]!]!);
}

/** Changes of the loss, put together from runs that hide different tokens. */
class MaskedEffects {
  private readonly found = new Map<string, Float32Array>();

  constructor(
    private readonly analysis: Analysis,
    private readonly signal: AbortSignal,
  ) {}

  /** What is known so far of this change, with the tokens that were hidden in one more run. */
  async add(key: string, hidden: Int32Array, output: ModelOutput): Promise<RunEffect> {
    const { analysis } = this;
    const dense = analysis.loss!;
    const perToken = this.found.get(key) ?? new Float32Array(dense.length);
    this.found.set(key, perToken);
    const ids = hidden.map(token => analysis.tokens.ids[token]!);
    const losses = await rowLoss(output.only(hidden), ids, analysis.context(this.signal));
    hidden.forEach((token, t) => {
      if (token > 0) perToken[token - 1] = losses[t]! - dense[token - 1]!;
    });
    return { measure: 'loss', delta: mean(perToken), perToken };
  }
}

/** A core's context [heads, queries, valueDim] without what one head gives. */
function silenced(context: Float32Array, { heads }: CoreInput, head: number): Float32Array {
  const size = context.length / heads;
  return context.slice().fill(0, head * size, (head + 1) * size);
}

/** A core's context with the head's outputs dealt out anew among the queries: what it says of other tokens (Chan et al., Causal Scrubbing, 2022). */
function mixed(context: Float32Array, { queries, valueDim }: CoreInput, head: number): Float32Array {
  const from = dealt(queries);
  const first = head * queries;
  const changed = context.slice();
  for (let query = 0; query < queries; query++) {
    const own = (first + from[query]!) * valueDim;
    changed.set(context.subarray(own, own + valueDim), (first + query) * valueDim);
  }
  return changed;
}

/** Whose output each query gets: the same for all heads. Seeded. */
export function dealt(queries: number): Uint32Array {
  return shuffler(seededUniform(SEEDS.resample))(Uint32Array.from({ length: queries }, (_, t) => t));
}

/** A core's context with the head's mean over all queries at each of them. */
function levelled(
  context: Float32Array,
  { heads, queries, valueDim }: CoreInput,
  head: number,
): Float32Array {
  const size = context.length / heads;
  const changed = context.slice();
  const own = changed.subarray(head * size, (head + 1) * size);
  for (let c = 0; c < valueDim; c++) {
    let total = 0;
    for (let at = c; at < size; at += valueDim) total += own[at]!;
    for (let at = c; at < size; at += valueDim) own[at] = total / queries;
  }
  return changed;
}
