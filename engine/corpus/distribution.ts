import { DDSketch } from '@datadog/sketches-js';
import { intervalOfMean } from '../measure/student';
import type { Interval, Quantiles } from '../../shared/protocol/engine';
import { ExactSum } from './exactSum';

/** Quantiles are told within this part of the value ... */
export const RELATIVE_ERROR = 0.01;
/** ... and values nearer to 0 than this count as 0. */
export const ZERO = 1e-4;

/** The counts of a sketch by its bins: negative values, zeros, positive values. Bins in ascending order, none empty. */
export interface Bins {
  zeros: number;
  positive: [key: number, count: number][];
  negative: [key: number, count: number][];
}

/**
 * Count, mean, spread and quantiles of any number of values in bounded memory: a DDSketch (Masson, Rim and Lee, DDSketch: A Fast
 * and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees, 2019) beside exact sums. Merging parts in any order
 * gives the very same distribution.
 */
export class Distribution {
  private readonly sketch = new DDSketch({ relativeAccuracy: RELATIVE_ERROR });
  private sum = new ExactSum();
  private squares = new ExactSum();
  min = Infinity;
  max = -Infinity;

  get count(): number {
    return this.sketch.zeroCount + this.sketch.store.count + this.sketch.negativeStore.count;
  }

  get mean(): number {
    return this.count === 0 ? NaN : this.sum.value / this.count;
  }

  /** Standard deviation, of a sample. */
  get deviation(): number {
    if (this.count < 2) return 0;
    const square = this.squares.value - this.count * this.mean ** 2;
    return Math.sqrt(Math.max(0, square) / (this.count - 1));
  }

  /** 95 % interval of the mean when the values are independent draws (Student's t); null of fewer than two. */
  get interval(): Interval | null {
    return intervalOfMean(this.count, this.mean, this.deviation);
  }

  /** Takes the values that are numbers. */
  add(values: ArrayLike<number>): void {
    let sum = 0;
    let squares = 0;
    for (let t = 0; t < values.length; t++) {
      const value = values[t]!;
      if (!Number.isFinite(value)) continue;
      sum += value;
      squares += value * value;
      this.min = Math.min(this.min, value);
      this.max = Math.max(this.max, value);
      this.sketch.accept(Math.abs(value) < ZERO ? 0 : value);
    }
    this.sum.add(sum);
    this.squares.add(squares);
  }

  merge(other: Distribution): void {
    this.addBins(other.bins());
    this.sum.merge(other.sum);
    this.squares.merge(other.squares);
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
  }

  /** The value that this share of the values does not exceed; NaN of none. */
  quantile(share: number): number {
    if (this.count === 0) return NaN;
    this.sketch.count = this.count;
    return Math.min(this.max, Math.max(this.min, this.sketch.getValueAtQuantile(share)));
  }

  quantiles(): Quantiles {
    const at = (share: number) => this.quantile(share);
    return { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) };
  }

  bins(): Bins {
    const { store, negativeStore, zeroCount } = this.sketch;
    return { zeros: zeroCount, positive: binsOf(store), negative: binsOf(negativeStore) };
  }

  /** Bin by bin: the library's own merge of stores forgets to make room where a range ends at key 0. */
  private addBins({ zeros, positive, negative }: Bins): void {
    this.sketch.zeroCount += zeros;
    for (const [key, count] of positive) this.sketch.store.add(key, count);
    for (const [key, count] of negative) this.sketch.negativeStore.add(key, count);
  }

  /** What `from` makes it of again. */
  stored() {
    return {
      sum: this.sum.toString(),
      squares: this.squares.toString(),
      min: this.min,
      max: this.max,
      ...this.bins(),
    };
  }

  static from({ sum, squares, min, max, ...bins }: ReturnType<Distribution['stored']>): Distribution {
    const made = new Distribution();
    made.addBins(bins);
    made.sum = ExactSum.from(sum);
    made.squares = ExactSum.from(squares);
    made.min = min;
    made.max = max;
    return made;
  }
}

function binsOf({ bins, offset }: { bins: number[]; offset: number }): [number, number][] {
  return bins.flatMap((count, at): [number, number][] => (count > 0 ? [[at + offset, count]] : []));
}
