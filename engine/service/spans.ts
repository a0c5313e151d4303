import type { Analysis } from './analysis';
import { eachDenseRow } from './buckets';
import { HeaviestPairs } from './heaviestPairs';
import { fitSpans, softMask } from '../../shared/softSpan';
import { visibleKeys } from '../attention/core';
import { UsageError } from '../errors';
import type { OutsideSpan, OutsideSpanParams, SpanFit, SpanFitParams } from '../../shared/protocol/engine';

/** Fits a span to every head: to a share of the mass, or to a budget of pairs. */
export function fitSpansOf(analysis: Analysis, params: SpanFitParams): SpanFit {
  if (params.massTarget === undefined && params.budget === undefined)
    throw new UsageError('Spans are fitted to a mass target or to a budget.');
  const cores = analysis.cores.map(({ result, byDistance, prefixes, outline }) => {
    const { queries, keys } = analysis.sides(result.info.kind);
    return {
      queries: queries.ids.length,
      keys: keys.ids.length,
      mask: outline.rule.mask,
      byDistance,
      prefixes,
      heads: result.heads,
    };
  });
  return fitSpans(cores, params);
}

/** What a soft mask of this span leaves out of one head: the mean mass, and its heaviest pairs. */
export async function outsideSpan(
  analysis: Analysis,
  params: OutsideSpanParams,
  signal: AbortSignal,
): Promise<OutsideSpan> {
  analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core, signal);
  const heaviest = new HeaviestPairs(12);
  let outside = 0;
  let rows = 0;
  await eachDenseRow(analysis, input, params.head, signal, (query, row) => {
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
