import { visibleKeys, type CoreInput, type Stretch } from '../core';
import { scoreAt } from './lines';
import { sequence } from './lists';
import type { SparseRow } from '../mechanism';

/** Keys to choose from: consecutive ones, or a list. */
type Candidates = Stretch | Iterable<number>;

/**
 * One query's softmax over a set of keys, in float64. The weights are computed when they are asked for: maps and reports need the keys of
 * every query, and nothing else.
 */
export function sparseRow(input: CoreInput, head: number, query: number, candidates: Candidates): SparseRow {
  const keys = shownKeys(input, head, query, candidates);
  return new LazyRow(keys, () => softmax(scoresOf(input, head, query, keys)));
}

/** A row whose weights are computed once they are read. */
export class LazyRow implements SparseRow {
  private known: Float64Array | null = null;

  constructor(
    readonly keys: Int32Array,
    private readonly weigh: () => Float64Array,
    readonly mask?: Float64Array,
  ) {}

  get weights(): Float64Array {
    return (this.known ??= this.weigh());
  }
}

/** The candidates that the query may see, in their order; a run of them may be shared by many rows. */
export function shownKeys(input: CoreInput, head: number, query: number, candidates: Candidates): Int32Array {
  const visible = visibleKeys(input, query);
  const keys =
    Symbol.iterator in candidates
      ? within(visible, candidates instanceof Int32Array ? candidates.slice() : Int32Array.from(candidates))
      : run(Math.max(visible.from, candidates.from), Math.min(visible.to, candidates.to));
  const { mask, blocked, bias } = input.rule;
  if (!mask.streaming && !blocked && (bias === null || bias.kind === 'alibi')) return keys;
  return keys.filter(key => scoreAt(input, head, query, key) !== -Infinity);
}

let numbers = sequence(0, 1024);

/** from .. to-1, without an array for every row. */
function run(from: number, to: number): Int32Array {
  if (to > numbers.length) numbers = sequence(0, 2 * to);
  return numbers.subarray(from, Math.max(from, to));
}

function within({ from, to }: Stretch, keys: Int32Array): Int32Array {
  let count = 0;
  for (const key of keys) if (key >= from && key < to) keys[count++] = key;
  return keys.subarray(0, count);
}

/** Scores of keys that are shown. */
export function scoresOf(input: CoreInput, head: number, query: number, keys: Int32Array): Float64Array {
  const scores = new Float64Array(keys.length);
  for (let t = 0; t < keys.length; t++) scores[t] = scoreAt(input, head, query, keys[t]!);
  return scores;
}

/** Scores of the query whose `dim` numbers begin at `first` with each of some [count, dim] keys that are no keys of the text, in float64. */
export function scoresWith(
  q: Float32Array | Float64Array,
  first: number,
  keys: Float32Array | Float64Array,
  dim: number,
  scale: number,
): Float64Array {
  const scores = new Float64Array(keys.length / dim);
  for (let j = 0; j < scores.length; j++) {
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += q[first + c]! * keys[j * dim + c]!;
    scores[j] = dot * scale;
  }
  return scores;
}

/** The softmax of scores of which some may be -Infinity: those keys are left out. */
export function visibleRow(keys: Int32Array, scores: readonly number[]): SparseRow {
  return {
    keys: keys.filter((_, t) => scores[t]! > -Infinity),
    weights: softmax(scores.filter(score => score > -Infinity)),
  };
}

/** `logs`: added to the scores once these are near 0, as they would be lost beside large ones. */
export function softmax(scores: ArrayLike<number>, logs?: ArrayLike<number>): Float64Array {
  const weights = Float64Array.from(scores);
  let largest = -Infinity;
  for (const score of weights) largest = Math.max(largest, score);
  if (logs && largest > -Infinity) return softmax(weights.map((score, t) => score - largest + logs[t]!));
  let sum = 0;
  for (let t = 0; t < weights.length; t++) sum += weights[t] = Math.exp(weights[t]! - largest);
  for (let t = 0; t < weights.length; t++) weights[t]! /= sum;
  return weights;
}

export function* range(from: number, to: number): Generator<number> {
  for (let key = from; key < to; key++) yield key;
}
