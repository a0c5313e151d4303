import type { CoreInput } from './core';
import { scoreAt } from './lines';
import type { SparseRow } from './mechanism';

/**
 * One query's softmax over a set of keys, in float64.
 * `logMask`: log of each key's soft mask (0 = kept whole); keys that are masked out altogether are dropped.
 */
export function sparseRow(
  input: CoreInput,
  head: number,
  query: number,
  candidates: Iterable<number>,
  logMask?: (key: number) => number,
): SparseRow {
  const keys: number[] = [];
  const scores: number[] = [];
  const mask: number[] = [];
  for (const key of candidates) {
    const log = logMask ? logMask(key) : 0;
    const score = scoreAt(input, head, query, key) + log;
    if (score === -Infinity) continue;
    keys.push(key);
    scores.push(score);
    mask.push(Math.exp(log));
  }
  const row = { keys: Int32Array.from(keys), weights: softmax(scores) };
  return logMask ? { ...row, mask: Float64Array.from(mask) } : row;
}

export function softmax(scores: readonly number[]): Float64Array {
  const weights = Float64Array.from(scores);
  let largest = -Infinity;
  for (const score of weights) largest = Math.max(largest, score);
  let sum = 0;
  for (let t = 0; t < weights.length; t++) sum += weights[t] = Math.exp(weights[t]! - largest);
  for (let t = 0; t < weights.length; t++) weights[t]! /= sum;
  return weights;
}

export function* range(from: number, to: number): Generator<number> {
  for (let key = from; key < to; key++) yield key;
}
