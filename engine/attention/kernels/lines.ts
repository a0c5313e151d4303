import { isBlocked, openStretches } from './blocked';
import { biasAt, keptBySink, kvHead, ownMap, visibleKeys, type CoreInput } from '../core';

/**
 * Single rows and columns of the dense map, in float64. With the log-sum-exp of every query known from the dense
 * pass, a column costs as little as a row: P[i, j] = exp(score[i, j] - lse[i]).
 */

/** Score of one pair before the softmax; -Infinity where the mask hides the key. */
export function scoreAt(input: CoreInput, head: number, query: number, key: number): number {
  const { from, to } = visibleKeys(input, query);
  if (key < from || key >= to || isBlocked(input, head, query, key)) return -Infinity;
  return visibleScore(input, head, query, key);
}

function visibleScore(input: CoreInput, head: number, query: number, key: number): number {
  const { dim, q, k, rule } = input;
  const a = (head * input.queries + query) * dim;
  const b = (kvHead(input, head) * input.keys + key) * dim;
  let score = dot(q, a, k, b, dim) * rule.scale[head]!;
  if (rule.softCap !== null) score = rule.softCap * Math.tanh(score / rule.softCap);
  return rule.bias ? score + biasAt(input, head, query, key) : score;
}

/** Four sums side by side: a single one waits for each of its products. */
function dot(q: Float32Array, a: number, k: Float32Array, b: number, dim: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let c = 0;
  for (; c + 3 < dim; c += 4) {
    s0 += q[a + c]! * k[b + c]!;
    s1 += q[a + c + 1]! * k[b + c + 1]!;
    s2 += q[a + c + 2]! * k[b + c + 2]!;
    s3 += q[a + c + 3]! * k[b + c + 3]!;
  }
  for (; c < dim; c++) s0 += q[a + c]! * k[b + c]!;
  return s0 + s1 + (s2 + s3);
}

/**
 * One query's scores of the keys from `from` on that it may see, less the largest of them, their log-sum-exp, and the share
 * of the query's mass that a sink leaves to them.
 */
export function denseScores(
  input: CoreInput,
  head: number,
  query: number,
): { from: number; scores: Float64Array; lse: number; kept: number } {
  const { from, to } = visibleKeys(input, query);
  const scores = new Float64Array(to - from).fill(-Infinity);
  let largest = -Infinity;
  for (const open of openStretches(input, head, query)) {
    for (let key = open.from; key < open.to; key++) {
      const score = visibleScore(input, head, query, key);
      scores[key - from] = score;
      if (score > largest) largest = score;
    }
  }
  if (largest === -Infinity) return { from, scores, lse: -Infinity, kept: 0 };
  let sum = 0;
  for (let t = 0; t < scores.length; t++) sum += Math.exp((scores[t]! -= largest));
  const lse = Math.log(sum);
  return { from, scores, lse, kept: keptOf(input, head, largest + lse) };
}

function keptOf({ rule: { sink } }: CoreInput, head: number, lse: number): number {
  return sink ? keptBySink(sink[head]!, lse) : 1;
}

/** Probabilities of one query over all keys, [keys]; all 0 when the mask leaves it nothing. */
export function denseRow(given: CoreInput, head: number, query: number): Float32Array {
  const input = ownMap(given);
  const row = new Float32Array(input.keys);
  const { from, scores, lse, kept } = denseScores(input, head, query);
  if (!(lse > -Infinity)) return row;
  const share = kept * Math.exp(-lse);
  for (let t = 0; t < scores.length; t++) row[from + t] = share * Math.exp(scores[t]!);
  return row;
}

/** What one key receives from every query, [queries]. `lse`: [heads, queries] of the dense pass. */
export function denseColumn(given: CoreInput, lse: Float32Array, head: number, key: number): Float32Array {
  const input = ownMap(given);
  const column = new Float32Array(input.queries);
  for (let i = 0; i < input.queries; i++) {
    const all = lse[head * input.queries + i]!;
    // Sees nothing, or its row was not read.
    if (all === -Infinity) continue;
    const score = scoreAt(input, head, i, key);
    if (score > -Infinity) column[i] = keptOf(input, head, all) * Math.exp(score - all);
  }
  return column;
}
