import { biasAt, kvHead, visibleKeys, type CoreInput } from './core';

/**
 * Single rows and columns of the dense map, in float64. With the log-sum-exp of every query known from the dense
 * pass, a column costs as little as a row: P[i, j] = exp(score[i, j] - lse[i]).
 */

/** Score of one pair before the softmax; -Infinity where the mask hides the key. */
export function scoreAt(input: CoreInput, head: number, query: number, key: number): number {
  const { from, to } = visibleKeys(input, query);
  if (key < from || key >= to) return -Infinity;
  return visibleScore(input, head, query, key);
}

function visibleScore(input: CoreInput, head: number, query: number, key: number): number {
  const { dim, q, k, rule } = input;
  const a = (head * input.queries + query) * dim;
  const b = (kvHead(input, head) * input.keys + key) * dim;
  let dot = 0;
  for (let c = 0; c < dim; c++) dot += q[a + c]! * k[b + c]!;
  let score = dot * rule.scale[head]!;
  if (rule.softCap !== null) score = rule.softCap * Math.tanh(score / rule.softCap);
  return rule.bias ? score + biasAt(input, head, query, key) : score;
}

/** Probabilities of one query over all keys, [keys]; all 0 when the mask leaves it nothing. */
export function denseRow(input: CoreInput, head: number, query: number): Float32Array {
  const row = new Float32Array(input.keys);
  const { from, to } = visibleKeys(input, query);
  const scores = new Float64Array(to - from);
  let largest = -Infinity;
  for (let j = from; j < to; j++) {
    scores[j - from] = visibleScore(input, head, query, j);
    largest = Math.max(largest, scores[j - from]!);
  }
  if (largest === -Infinity) return row;
  let sum = 0;
  for (let t = 0; t < scores.length; t++) sum += scores[t] = Math.exp(scores[t]! - largest);
  for (let t = 0; t < scores.length; t++) row[from + t] = scores[t]! / sum;
  return row;
}

/** What one key receives from every query, [queries]. `lse`: [heads, queries] of the dense pass. */
export function denseColumn(input: CoreInput, lse: Float32Array, head: number, key: number): Float32Array {
  const column = new Float32Array(input.queries);
  for (let i = 0; i < input.queries; i++) {
    const score = scoreAt(input, head, i, key);
    if (score > -Infinity) column[i] = Math.exp(score - lse[head * input.queries + i]!);
  }
  return column;
}
