import { keptBySink, type CoreInput } from '../attention/core';
import { denseCore, type DenseContext } from '../attention/kernels/dense';
import type { DistancePrefix } from '../../shared/softSpan';
import type { CoreInfo, HeadProfile } from '../../shared/protocol/engine';
import { binDistances, distanceEdges, MassByOffset } from './distance';
import { Entropy } from './entropy';
import { foldTogether } from './measure';
import { PerQueryMasses, type PerQuery } from './perQuery';
import { countedDistribution } from './quantiles';
import type { RowRange } from './sample';
import { Received } from './received';
import { Repeats } from './repeats';
import {
  chanceOf,
  FEWEST_REPEATS,
  LOCAL_REACH,
  offsetScore,
  rolesOf,
  targetScores,
  type Chance,
} from './roles';
import { Spans } from './spans';

/** What measures need to know of the key tokens: ids, and 1 where a token belongs to a class. */
export interface TokenMarks {
  ids: Int32Array;
  separator: Uint8Array;
  punctuation: Uint8Array;
}

export interface CoreProfile {
  /** [heads, queries, valueDim] */
  output: Float32Array;
  /** [heads, queries] log-sum-exp of the dense scores; -Infinity where nothing is visible. */
  lse: Float32Array;
  heads: HeadProfile[];
  /** [heads, queries], nats. */
  entropy: Float32Array;
  /** [heads, queries]; -1 where nothing is visible. */
  span95: Float32Array;
  /** [heads, keys] mass summed over queries. */
  received: Float32Array;
  /** [heads, keys]: entry x is the mass at distance x, mean over queries. */
  byDistance: Float32Array;
  /** The same of the text's beginnings, shortest first. */
  prefixes: DistancePrefix[];
  /** What was asked for beside it: every query by itself. */
  queries: PerQuery | null;
}

/**
 * Dense attention of one core with every measure folded in the same pass; nothing queries x keys is kept. `rows`: of these
 * queries only, so that means are over them; null = all.
 */
export async function profileCore(
  input: CoreInput,
  info: CoreInfo,
  marks: TokenMarks,
  context: DenseContext,
  everyQuery = false,
  rows: readonly RowRange[] | null = null,
): Promise<CoreProfile> {
  const crossing = info.kind === 'cross';
  const entropy = new Entropy(input);
  const offsets = new MassByOffset(input);
  const spans = new Spans(input, context.runtime.report.device === 'cpu' ? 'here' : 'there');
  const received = new Received(input);
  const repeats = new Repeats(input, crossing ? null : marks.ids);
  const perQuery = everyQuery ? new PerQueryMasses(input, crossing) : null;
  const measures = [entropy, offsets, spans, received, repeats, ...(perQuery ? [perQuery] : [])];
  const { output, lse } = await denseCore(input, context, foldTogether(measures), rows);

  const chance: Chance = {
    ...chanceOf(input, marks.separator, marks.punctuation),
    duplicate: repeats.chance.duplicate / Math.max(1, repeats.queries.duplicate),
    induction: repeats.chance.induction / Math.max(1, repeats.queries.induction),
  };
  const edges = distanceEdges(Math.max(input.queries, input.keys) - 1);
  const byDistance = new Float32Array(input.heads * input.keys);
  const heads = Array.from({ length: input.heads }, (_, head): HeadProfile => {
    const perHead = <T extends Float32Array | Int32Array>(values: T, length: number) =>
      values.subarray(head * length, (head + 1) * length) as T;
    const queries = perHead(entropy.visible, input.queries).reduce((n, seen) => n + Number(seen > 0), 0);
    const mean = (sum: number) => (queries === 0 ? 0 : sum / queries);
    const distances = offsets.byDistance(head).map(mean);
    byDistance.set(distances.subarray(0, input.keys), head * input.keys);
    const perKey = perHead(received.perKey, input.keys);
    const to = {
      self: mean(offsets.at(head, 0)),
      previous: mean(offsets.at(head, -1)),
      next: mean(offsets.at(head, 1)),
      first: mean(perKey[0] ?? 0),
      separator: mean(massOn(perKey, marks.separator)),
      punctuation: mean(massOn(perKey, marks.punctuation)),
      ...(input.rule.sink && { sink: mean(massOnSink(input.rule.sink[head]!, perHead(lse, input.queries))) }),
    };
    const { entropy: meanEntropy, relative, ofText } = entropy.mean(head);
    const [span90, span95, span99] = spans.perQuery.map(values =>
      countedDistribution(perHead(values, input.queries)),
    );
    const scores: Chance = { ...targetScores(to, !crossing), broad: ofText };
    if (!crossing) scores.local = distances.subarray(0, LOCAL_REACH + 1).reduce((a, b) => a + b, 0);
    const fixed = crossing ? null : offsetScore(input, offset => offsets.at(head, offset));
    if (fixed) scores.offset = fixed.score;
    for (const kind of ['duplicate', 'induction'] as const) {
      if (repeats.queries[kind] >= FEWEST_REPEATS) scores[kind] = repeats.score(head, kind);
    }
    return {
      core: info.core,
      head,
      entropy: meanEntropy,
      relativeEntropy: relative,
      meanDistance: distances.reduce((sum, mass, x) => sum + mass * x, 0),
      span90: span90!.mean,
      span95: span95!.mean,
      span99: span99!.mean,
      span90Quantiles: span90!.quantiles,
      span95Quantiles: span95!.quantiles,
      span99Quantiles: span99!.quantiles,
      to,
      roles: rolesOf(scores, { ...chance, offset: fixed?.chance }, fixed?.offset),
      distance: { edges, mass: binDistances(distances, edges) },
      thumbnail: received.thumbnail(head),
    };
  });
  return {
    output,
    lse,
    heads,
    entropy: entropy.perQuery,
    span95: spans.perQuery[1]!,
    received: received.perKey,
    byDistance,
    prefixes: offsets.lengths.slice(0, -1).map((queries, text) => {
      const own = new Float32Array(input.heads * queries);
      for (let head = 0; head < input.heads; head++) {
        const sums = offsets.byDistance(head, text).subarray(0, queries);
        own.set(
          sums.map(sum => sum / queries),
          head * queries,
        );
      }
      return { queries, byDistance: own };
    }),
    queries: perQuery && perQuery.together(entropy, spans, output),
  };
}

/** What a sink takes of all queries that see a key; `lse`: [queries] of their keys. */
function massOnSink(sink: number, lse: Float32Array): number {
  return lse.reduce((sum, mass) => sum + (mass === -Infinity ? 0 : 1 - keptBySink(sink, mass)), 0);
}

function massOn(perKey: Float32Array, marks: Uint8Array): number {
  let sum = 0;
  for (let j = 0; j < perKey.length; j++) if (marks[j]) sum += perKey[j]!;
  return sum;
}
