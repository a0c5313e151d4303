import type { AnalysedCore, Analysis } from './analysis';
import { eachDenseRow } from './buckets';
import { HeaviestPairs } from './heaviestPairs';
import { fitSpan, keptMass, spanPairs, softMask } from '../attention/softSpan';
import { visibleKeys } from '../attention/core';
import { UsageError } from '../errors';
import type { OutsideSpan, OutsideSpanParams, SpanFit, SpanFitParams } from '../protocol';
import type { Cancellation } from '../runtime/cancellation';

/**
 * Fits a span to every head from its mass by distance alone, so that a slider can refit at once: to a share of the
 * mass, or to a budget of pairs (then one mass target for all heads, the largest that the budget pays for).
 */
export function fitSpansOf(analysis: Analysis, params: SpanFitParams): SpanFit {
  const { ramp } = params;
  if (params.massTarget !== undefined) return fit(analysis, params.massTarget, ramp);
  if (params.budget === undefined) throw new UsageError('Spans are fitted to a mass target or to a budget.');
  const dense = analysis.cores.reduce(
    (sum, core) => sum + core.result.heads.length * pairsOf(analysis, core, Infinity, ramp),
    0,
  );
  let low = 0;
  let high = 1;
  for (let step = 0; step < 24; step++) {
    const target = (low + high) / 2;
    const pairs = fit(analysis, target, ramp).heads.reduce((sum, head) => sum + head.pairs, 0);
    if (pairs <= params.budget * dense) low = target;
    else high = target;
  }
  return fit(analysis, low, ramp);
}

function fit(analysis: Analysis, target: number, ramp: number): SpanFit {
  const heads: SpanFit['heads'] = [];
  for (const core of analysis.cores) {
    const densePairs = pairsOf(analysis, core, Infinity, ramp);
    for (const { head } of core.result.heads) {
      const mass = massByDistance(core, head);
      const span = fitSpan(mass, target, ramp);
      heads.push({
        core: core.result.info.core,
        head,
        span,
        recall: keptMass(mass, span, ramp),
        pairs: pairsOf(analysis, core, span, ramp),
        densePairs,
      });
    }
  }
  return { ramp, heads };
}

function massByDistance(core: AnalysedCore, head: number): Float32Array {
  const size = core.byDistance.length / core.result.heads.length;
  return core.byDistance.subarray(head * size, (head + 1) * size);
}

function pairsOf(analysis: Analysis, core: AnalysedCore, span: number, ramp: number): number {
  return spanPairs(core.mask, analysis.tokens.ids.length, analysis.tokens.ids.length, span, ramp);
}

/** What a soft mask of this span leaves out of one head: the mean mass, and its heaviest pairs. */
export async function outsideSpan(
  analysis: Analysis,
  params: OutsideSpanParams,
  cancellation: Cancellation,
): Promise<OutsideSpan> {
  analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core);
  const heaviest = new HeaviestPairs(12);
  let outside = 0;
  let rows = 0;
  await eachDenseRow(analysis, input, params.head, cancellation, (query, row) => {
    const position = query + input.keys - input.queries;
    const { from, to } = visibleKeys(input, query);
    if (to > from) rows++;
    for (let key = from; key < to; key++) {
      const lost = row[key]! * (1 - softMask(Math.abs(position - key), params.span, params.ramp));
      if (lost === 0) continue;
      outside += lost;
      heaviest.offer(query, key, lost);
    }
  });
  return {
    mass: outside / Math.max(1, rows),
    heaviest: heaviest.list().map(pair => ({
      ...pair,
      distance: Math.abs(pair.query + input.keys - input.queries - pair.key),
    })),
  };
}
