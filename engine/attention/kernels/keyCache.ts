import { hidesByPlace, isBlocked } from './blocked';
import { productsWith, strideOf } from './pairs';
import { weighValues } from './scoreBlocks';
import { biasAt, kvHead, visibleKeys, type CoreInput } from '../core';
import type { AttendContext } from '../mechanism';

/** Queries of a block: as many as half the cache holds, within reason. More of them find more keys that are gone meanwhile. */
const LEAST_ROWS = 32;
const MOST_ROWS = 64;

/**
 * One head's cache of keys, while its queries come in order: new keys enter with the query that first sees them, and keys that
 * the model's mask no longer shows leave. All that decides which key goes is in float64, summed in one order: it may hang on
 * last digits. Queries are multiplied in blocks with all keys that any of them may find.
 */
export class KeyCache {
  /** Ascending positions of the keys that are held, and the columns of the block in which they stand. */
  private held = new Int32Array(0);
  private columns = new Int32Array(0);
  private count = 0;
  private seen = 0;
  /** What each of them got of the last query. */
  private weights = new Float64Array(0);
  /** Used again from block to block. */
  private dots = new Float64Array(0);
  private block: Block = {
    from: 0,
    to: 0,
    keys: new Int32Array(0),
    dots: new Float64Array(0),
    stride: 0,
    given: new Float32Array(0),
  };

  /** `gone` [keys]: filled with the first query that does not find a key any more. */
  constructor(
    private readonly input: CoreInput,
    private readonly head: number,
    private readonly gone: Int32Array,
  ) {}

  get size(): number {
    return this.count;
  }

  /** Goes on with the queries from `from` on, as many as are best taken at once; returns where they end. */
  begin(from: number): number {
    const { input, count } = this;
    const rows = Math.min(MOST_ROWS, Math.max(LEAST_ROWS, count >> 1));
    const to = Math.min(input.queries, from + rows);
    const first = Math.max(this.seen, visibleKeys(input, from).from);
    const entering = Math.max(0, visibleKeys(input, to - 1).to - first);
    const keys = new Int32Array(count + entering);
    keys.set(this.held.subarray(0, count));
    for (let t = 0; t < entering; t++) keys[count + t] = first + t;
    for (let t = 0; t < count; t++) this.columns[t] = t;
    const given = new Float32Array((to - from) * keys.length);
    this.block = { from, to, keys, ...this.products(from, to, keys), given };
    return to;
  }

  /** Shares out the mass of query i over the cache. Returns the log-sum-exp, -Infinity where nothing is seen. */
  attend(i: number): number {
    this.admit(i);
    if (this.weights.length < this.held.length) this.weights = new Float64Array(this.held.length);
    const { input, head, count, held, columns, weights, block } = this;
    const { softCap, bias } = input.rule;
    const hides = hidesByPlace(input.rule);
    const scale = input.rule.scale[head]!;
    const row = (i - block.from) * block.keys.length;
    const products = (i - block.from) * block.stride;
    let top = -Infinity;
    for (let t = 0; t < count; t++) {
      const key = held[t]!;
      let score = block.dots[products + columns[t]!]! * scale;
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
    for (let t = 0; t < count; t++) {
      weights[t]! /= total;
      block.given[row + columns[t]!] = weights[t]!;
    }
    return top + Math.log(total);
  }

  /** What the queries of the block read, [queries, valueDim]. */
  async output(context: AttendContext): Promise<Float32Array> {
    const { keys, given } = this.block;
    const { valueDim, v } = this.input;
    const first = kvHead(this.input, this.head) * this.input.keys;
    const values = new Float32Array(keys.length * valueDim);
    for (const [t, key] of keys.entries()) {
      const at = (first + key) * valueDim;
      values.set(v.subarray(at, at + valueDim), t * valueDim);
    }
    const found = { ...this.input, heads: 1, kvHeads: 1, keys: keys.length, v: values };
    return weighValues(found, 0, { firstKey: 0, columns: keys.length, scores: given }, context);
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
    for (let t = this.count - 1; t >= 0; t--) if (evicted.has(held[t]!)) this.drop(t, i + 1);
  }

  /** Each product summed in the order of the dimensions, whatever stands beside it. */
  private products(from: number, to: number, keys: Int32Array): { dots: Float64Array; stride: number } {
    const { input, head } = this;
    const { k, dim } = input;
    const first = kvHead(input, head) * input.keys;
    const stride = strideOf(keys.length);
    const columns = new Float64Array(stride * dim);
    for (let t = 0; t < keys.length; t++) {
      const at = (first + keys[t]!) * dim;
      for (let c = 0; c < dim; c++) columns[c * stride + t] = k[at + c]!;
    }
    const found = productsWith(input, head, from, to, { stride, count: keys.length, first: columns });
    if (this.dots.length < found.length) this.dots = new Float64Array(2 * found.length);
    this.dots.set(found);
    return { dots: this.dots, stride };
  }

  private admit(i: number): void {
    const { from, to } = visibleKeys(this.input, i);
    while (this.count > 0 && this.held[0]! < from) this.drop(0, i);
    for (let key = Math.max(this.seen, from); key < to; key++) this.add(key);
    this.seen = Math.max(this.seen, to);
  }

  /** Keys that enter are the last columns of the block, in order. */
  private add(key: number): void {
    if (this.count === this.held.length) {
      this.held = longer(this.held);
      this.columns = longer(this.columns);
    }
    const { keys } = this.block;
    this.columns[this.count] = keys.length - 1 - (keys.at(-1)! - key);
    this.held[this.count++] = key;
  }

  private drop(at: number, from: number): void {
    this.gone[this.held[at]!] = from;
    this.held.copyWithin(at, at + 1, this.count);
    this.columns.copyWithin(at, at + 1, this.count--);
  }
}

/** Queries from .. to-1 and the keys that any of them may find: those held before, and those that enter. */
interface Block {
  from: number;
  to: number;
  keys: Int32Array;
  /** [queries, stride] products of queries and keys. */
  dots: Float64Array;
  stride: number;
  /** [queries, keys] what each key got. */
  given: Float32Array;
}

function longer(list: Int32Array): Int32Array<ArrayBuffer> {
  const found = new Int32Array(2 * list.length + 64);
  found.set(list);
  return found;
}

/** Of the first `count` keys that are held, the place of the one with the least sum. */
function least(held: Int32Array, count: number, sums: Float64Array): number {
  let found = 0;
  for (let t = 1; t < count; t++) if (sums[held[t]!]! < sums[held[found]!]!) found = t;
  return found;
}
