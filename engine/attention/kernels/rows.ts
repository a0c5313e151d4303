import { isBlocked } from './blocked';
import { visibleKeys, type CoreInput } from '../core';
import { scoreAt } from './lines';
import type { SparseRow } from '../mechanism';

/**
 * One query's softmax over a set of keys, in float64. The weights are computed when they are asked for: maps and reports need the keys of
 * every query, and nothing else.
 * `logMask`: log of each key's soft mask (0 = kept whole); keys that are masked out altogether are dropped.
 */
export function sparseRow(
  input: CoreInput,
  head: number,
  query: number,
  candidates: Iterable<number>,
  logMask?: (key: number) => number,
): SparseRow {
  const found: number[] = [];
  const logs: number[] = [];
  const { from, to } = visibleKeys(input, query);
  const hides = hidesKeys(input);
  for (const key of candidates) {
    if (key < from || key >= to || isBlocked(input, head, query, key)) continue;
    const log = logMask ? logMask(key) : 0;
    if (log === -Infinity || (hides && scoreAt(input, head, query, key) === -Infinity)) continue;
    found.push(key);
    if (logMask) logs.push(log);
  }
  const keys = Int32Array.from(found);
  let weights: Float64Array | null = null;
  return {
    keys,
    get weights() {
      weights ??= softmax(
        Array.from(keys, key => scoreAt(input, head, query, key)),
        logMask ? logs : undefined,
      );
      return weights;
    },
    ...(logMask ? { mask: Float64Array.from(logs, Math.exp) } : {}),
  };
}

/** Only a bias or an intervention can give a score of -Infinity to a key that the mask shows. */
function hidesKeys({ rule: { bias, blocked } }: CoreInput): boolean {
  return blocked !== undefined || (bias !== null && bias.kind !== 'alibi');
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
