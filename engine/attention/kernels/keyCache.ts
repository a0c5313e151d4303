import { hidesByPlace, isBlocked } from './blocked';
import { biasAt, kvHead, visibleKeys, type CoreInput } from '../core';

/**
 * One head's cache of keys, while its queries come in order: new keys enter with the query that first sees them, and keys that
 * the model's mask no longer shows leave. All in float64: which key goes hangs on sums that may differ in their last digits.
 */
export class KeyCache {
  /** Ascending positions of the keys that are held. */
  private held = new Int32Array(0);
  private count = 0;
  private seen = 0;
  /** What each of them got of the last query. */
  private weights = new Float64Array(0);
  private readonly query: Float64Array;
  private readonly sum: Float64Array;

  /** `gone` [keys]: filled with the first query that does not find a key any more. */
  constructor(
    private readonly input: CoreInput,
    private readonly head: number,
    private readonly gone: Int32Array,
  ) {
    this.query = new Float64Array(input.dim);
    this.sum = new Float64Array(input.valueDim);
  }

  get size(): number {
    return this.count;
  }

  /** Attention of query i over the cache: `output` [valueDim] is filled. Returns the log-sum-exp, -Infinity where nothing is seen. */
  attend(i: number, output: Float32Array): number {
    this.admit(i);
    if (this.weights.length < this.held.length) this.weights = new Float64Array(this.held.length);
    const { input, head, count, held, weights, query, sum } = this;
    const { dim, valueDim, keys, q, k, v, rule } = input;
    const { softCap, bias } = rule;
    const hides = hidesByPlace(rule);
    const first = kvHead(input, head) * keys;
    const scale = rule.scale[head]!;
    for (let c = 0; c < dim; c++) query[c] = q[(head * input.queries + i) * dim + c]!;
    let top = -Infinity;
    for (let t = 0; t < count; t++) {
      const key = held[t]!;
      let at = (first + key) * dim;
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += query[c]! * k[at++]!;
      let score = dot * scale;
      if (softCap !== null) score = softCap * Math.tanh(score / softCap);
      if (bias) score += biasAt(input, head, i, key);
      if (hides && isBlocked(input, head, i, key)) score = -Infinity;
      weights[t] = score;
      if (score > top) top = score;
    }
    if (top === -Infinity) {
      weights.fill(0, 0, count);
      return top;
    }
    let total = 0;
    for (let t = 0; t < count; t++) total += weights[t] = Math.exp(weights[t]! - top);
    sum.fill(0);
    for (let t = 0; t < count; t++) {
      const weight = (weights[t]! /= total);
      if (weight === 0) continue;
      let at = (first + held[t]!) * valueDim;
      for (let c = 0; c < valueDim; c++) sum[c]! += weight * v[at++]!;
    }
    output.set(sum);
    return top + Math.log(total);
  }

  /** Adds what each key got of the last query to its entry in `sums` [keys]. */
  addTo(sums: Float64Array): void {
    for (let t = 0; t < this.count; t++) sums[this.held[t]!]! += this.weights[t]!;
  }

  /**
   * After query i: down to `size` keys, without those of the least sum among the keys before position `until`; the lower position
   * on ties.
   */
  evict(i: number, size: number, until: number, sums: Float64Array): void {
    const over = this.count - size;
    if (over <= 0) return;
    const { held } = this;
    let free = 0;
    while (free < this.count && held[free]! < until) free++;
    if (over === 1) return this.drop(least(held, free, sums), i + 1);
    const order = Array.from(held.subarray(0, free)).sort((a, b) => sums[a]! - sums[b]! || a - b);
    const evicted = new Set(order.slice(0, over));
    for (const key of evicted) this.gone[key] = i + 1;
    this.held = held.filter((key, t) => t < this.count && !evicted.has(key));
    this.count = this.held.length;
  }

  private admit(i: number): void {
    const { from, to } = visibleKeys(this.input, i);
    while (this.count > 0 && this.held[0]! < from) this.drop(0, i);
    for (let key = Math.max(this.seen, from); key < to; key++) this.add(key);
    this.seen = Math.max(this.seen, to);
  }

  private add(key: number): void {
    if (this.count === this.held.length) {
      const longer = new Int32Array(2 * this.count + 64);
      longer.set(this.held);
      this.held = longer;
    }
    this.held[this.count++] = key;
  }

  private drop(at: number, from: number): void {
    this.gone[this.held[at]!] = from;
    this.held.copyWithin(at, at + 1, this.count--);
  }
}

/** Of the first `count` keys that are held, the place of the one with the least sum. */
function least(held: Int32Array, count: number, sums: Float64Array): number {
  let found = 0;
  for (let t = 1; t < count; t++) if (sums[held[t]!]! < sums[held[found]!]!) found = t;
  return found;
}
