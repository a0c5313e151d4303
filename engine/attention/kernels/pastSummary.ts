import { kvHead, type CoreInput } from '../core';
import type { Attended, AttendContext, SparseRow } from '../mechanism';
import { visiblePairs } from '../cost';
import type { MechanismParams, ParameterInfo } from '../../../shared/protocol/engine';
import { numberOf } from '../../../shared/setting';
import { logSumExp } from '../../statistics';
import { scoreAt } from './lines';
import { attendLists, sequence } from './lists';
import { SEGMENT, segmentsOf, type Segment } from './segments';
import { logAdd, offsetTables, Outputs } from './tiles';

/**
 * Causal forms of what is defined on a whole text (Linformer, Nyströmformer, the infinity-former). The queries come in
 * segments: a query sees the keys of its own segment up to itself as they are, and all keys before the segment through a
 * summary of them, under one softmax. Nothing that comes after a query is read.
 */

export const pastSegmentParameter: ParameterInfo = {
  name: 'segment',
  type: 'integer',
  default: SEGMENT,
  minimum: 1,
  description:
    'Under a causal mask: queries at once. They see their own segment as it is, and a summary of what came before it.',
};

/** What the queries of one segment read of the keys before it, in one head. */
export interface Past {
  /** Pairs that are computed for the segment, those of the summary itself included. */
  pairs: number;
  read(context: AttendContext): Promise<PastOutputs>;
  row(query: number): PastRow;
}

/** Of the segment's queries: [rows, valueDim], and the log of the mass of all that is before, [rows], on the scores' scale. */
export interface PastOutputs {
  output: Float32Array;
  lse: Float32Array;
}

/** Weights of the keys 0 .. start-1 as shares of the past's mass, [start], and the log of that mass. */
export interface PastRow {
  weights: Float64Array;
  lse: number;
}

export interface Summary {
  /** Segments come in their order, in each all heads; a row may be asked for at any time. */
  past(head: number, segment: Segment): Past;
  /** All heads have read what is before a segment. */
  read?(segment: Segment): void;
}

/** Why a summary of the past cannot be had, or null. */
export function refusesPast(title: string, input: CoreInput): string | null {
  return input.rule.mask.causal && input.queries > input.keys
    ? `${title} needs a key for every query.`
    : null;
}

/** Runs all heads over their own segments and the summary of what is before them. */
export async function attendWithPast(
  input: CoreInput,
  params: MechanismParams,
  summary: Summary,
  context: AttendContext,
): Promise<Attended> {
  const { heads } = input;
  const outputs = new Outputs(input);
  const tables = offsetTables(input);
  const pairs = new Float64Array(heads);
  const segments = segmentsOf(input, params, false);
  for (const segment of segments) {
    const { from, to, start } = segment;
    const queries = sequence(from, to);
    const keys = sequence(start, start + to - from);
    for (let head = 0; head < heads; head++) {
      pairs[head]! += await attendLists(input, head, queries, keys, null, tables(head), outputs, context);
      if (start === 0) continue;
      const past = summary.past(head, segment);
      const { output, lse } = await past.read(context);
      const tiles = { head, rows: to - from, columns: 1, queries, keys: Int32Array.of(0), bias: null };
      outputs.merge(tiles, { output, lse, distinctLse: lse });
      pairs[head]! += past.pairs;
    }
    summary.read?.(segment);
  }
  // Rows of one head and segment are mostly asked for one after the other.
  let last: { head: number; segment: Segment; past: Past } | null = null;
  const pastOf = (head: number, segment: Segment): Past => {
    if (last?.head !== head || last.segment !== segment)
      last = { head, segment, past: summary.past(head, segment) };
    return last.past;
  };
  return {
    output: outputs.output,
    lse: null,
    pairs,
    row: (head, query) => {
      const segment = segments.find(({ to }) => query < to)!;
      const past = segment.start > 0 ? pastOf(head, segment).row(query) : null;
      return wholeRow(input, head, query, segment.start, past);
    },
    extra: {},
  };
}

/** A query's own segment and its past under one softmax, in float64. */
function wholeRow(
  input: CoreInput,
  head: number,
  query: number,
  start: number,
  past: PastRow | null,
): SparseRow {
  const to = query + input.keys - input.queries + 1;
  const scores = Float64Array.from({ length: to - start }, (_, t) => scoreAt(input, head, query, start + t));
  const lse = logSumExp(scores);
  const all = past ? logAdd(lse, past.lse) : lse;
  const weights = new Float64Array(to);
  scores.forEach((score, t) => (weights[start + t] = Math.exp(score - all)));
  if (past) {
    const share = Math.exp(past.lse - all);
    past.weights.forEach((weight, key) => (weights[key] = weight * share));
  }
  return { keys: sequence(0, to), weights };
}

/** The queries of a segment with the keys before it, as a core of one head. */
export function pastCore(input: CoreInput, head: number, { from, to, start }: Segment): CoreInput {
  const { dim, valueDim, queries, keys, rule } = input;
  const kv = kvHead(input, head);
  return {
    ...input,
    heads: 1,
    kvHeads: 1,
    queries: to - from,
    keys: start,
    q: input.q.subarray((head * queries + from) * dim, (head * queries + to) * dim),
    k: input.k.subarray(kv * keys * dim, (kv * keys + start) * dim),
    v: input.v.subarray(kv * keys * valueDim, (kv * keys + start) * valueDim),
    rule: {
      ...rule,
      scale: rule.scale.subarray(head, head + 1),
      mask: { ...rule.mask, causal: false },
    },
  };
}

/** Pairs of a text of one sequence in its segments; `past`: of a segment of `rows` queries from `start` with what is before it. */
export function pastPairs(
  tokens: number,
  params: MechanismParams,
  past: (rows: number, start: number) => number,
): number {
  const segment = numberOf(params, 'segment');
  let pairs = 0;
  for (let start = 0; start < tokens; start += segment) {
    const rows = Math.min(segment, tokens - start);
    pairs += visiblePairs(rows, true) + (start > 0 ? past(rows, start) : 0);
  }
  return pairs;
}

/** Ends of `count` consecutive stretches of `length` rows, as equal as can be; stretch a is `at(a)` .. `at(a + 1)` - 1. */
export function stretches(length: number, count: number): (a: number) => number {
  return a => Math.floor((a * length) / count);
}

/** Means of `count` consecutive stretches of rows, [count, width]. */
export function stretchMeans(rows: Float32Array | Float64Array, count: number, width: number): Float64Array {
  const at = stretches(rows.length / width, count);
  const means = new Float64Array(count * width);
  for (let a = 0; a < count; a++) {
    for (let c = 0; c < width; c++) {
      let sum = 0;
      for (let i = at(a); i < at(a + 1); i++) sum += rows[i * width + c]!;
      means[a * width + c] = sum / (at(a + 1) - at(a));
    }
  }
  return means;
}
