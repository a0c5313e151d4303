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
  const logs: number[] = [];
  for (const key of candidates) {
    const log = logMask ? logMask(key) : 0;
    const score = scoreAt(input, head, query, key);
    if (score + log === -Infinity) continue;
    keys.push(key);
    scores.push(score);
    logs.push(log);
  }
  const row = { keys: Int32Array.from(keys), weights: softmax(scores, logs) };
  return logMask ? { ...row, mask: Float64Array.from(logs, Math.exp) } : row;
}

/** The softmax of scores of which some may be -Infinity: those keys are left out. */
export function visibleRow(keys: Int32Array, scores: readonly number[]): SparseRow {
  return {
    keys: keys.filter((_, t) => scores[t]! > -Infinity),
    weights: softmax(scores.filter(score => score > -Infinity)),
  };
}

/** `logs`: added to the scores once these are near 0, as they would be lost beside large ones. */
export function softmax(scores: readonly number[], logs?: readonly number[]): Float64Array {
  const weights = Float64Array.from(scores);
  let largest = -Infinity;
  for (const score of weights) largest = Math.max(largest, score);
  if (logs && largest > -Infinity) return softmax(scores.map((score, t) => score - largest + logs[t]!));
  let sum = 0;
  for (let t = 0; t < weights.length; t++) sum += weights[t] = Math.exp(weights[t]! - largest);
  for (let t = 0; t < weights.length; t++) weights[t]! /= sum;
  return weights;
}

export function* range(from: number, to: number): Generator<number> {
  for (let key = from; key < to; key++) yield key;
}
