import { biasAt, closedKeys, kvHead, visibleKeys, type CoreInput } from '../../attention/core';
import type { ModelOutput } from '../cut/cutModel';

/** Plain dense attention, row by row in float64: the core that a cut model is proved with when no other is given. */
export function referenceAttend(input: CoreInput): Float32Array {
  if (input.native) return input.native.attended.output;
  const { heads, queries, keys, valueDim } = input;
  const output = new Float32Array(heads * queries * valueDim);
  const row = new Float64Array(valueDim);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < queries; i++) {
      const weights = referenceWeights(input, h, i);
      row.fill(0);
      for (let j = 0; j < keys; j++) {
        const w = weights[j]!;
        if (w === 0) continue;
        const at = (kvHead(input, h) * keys + j) * valueDim;
        for (let d = 0; d < valueDim; d++) row[d]! += w * input.v[at + d]!;
      }
      output.set(row, (h * queries + i) * valueDim);
    }
  return output;
}

/** Probabilities of one query, [keys], in float64; all zero when it sees no key. */
export function referenceWeights(input: CoreInput, head: number, query: number): Float64Array {
  const { queries, keys, dim, rule } = input;
  const logits = new Float64Array(keys).fill(-Infinity);
  const q = (head * queries + query) * dim;
  const { from, to } = visibleKeys(input, query);
  const closed = closedKeys(input, query);
  let max = -Infinity;
  for (let j = from; j < to; j++) {
    if (closed.some(keys => j >= keys.from && j < keys.to)) continue;
    const k = (kvHead(input, head) * keys + j) * dim;
    let dot = 0;
    for (let d = 0; d < dim; d++) dot += input.q[q + d]! * input.k[k + d]!;
    const score = dot * rule.scale[head]!;
    const capped = rule.softCap === null ? score : rule.softCap * Math.tanh(score / rule.softCap);
    logits[j] = capped + biasAt(input, head, query, j);
    max = Math.max(max, logits[j]!);
  }
  if (max === -Infinity) return logits.fill(0);
  const sink = rule.sink?.[head] ?? -Infinity;
  max = Math.max(max, sink);
  let sum = Math.exp(sink - max);
  for (let j = 0; j < keys; j++) sum += logits[j] = Math.exp(logits[j]! - max);
  return logits.map(w => w / sum);
}

export interface Difference {
  /** Largest absolute difference, and largest absolute value of the reference. */
  largest: number;
  scale: number;
  median: number;
  /** Share of rows whose largest entry is at the same place. */
  argmaxAgreement: number;
  equal: boolean;
}

const MEDIAN_OF = 2 ** 12;

/** Two outputs of the same rows, [rows, width]. NaN or a missing value counts as infinitely far. */
export function compare(found: Float32Array, expected: Float32Array, width: number): Difference {
  if (found.length !== expected.length)
    return { largest: Infinity, scale: 1, median: Infinity, argmaxAgreement: 0, equal: false };
  const comparison = new OutputComparison(expected, width);
  comparison.add(found);
  return comparison.result();
}

/** Values read at once of an output that is compared. */
const BLOCK = 2 ** 20;

/** The same, reading the output in blocks of rows: all logits of a large vocabulary take as much as a layer. */
export async function compareOutput(output: ModelOutput, expected: Float32Array): Promise<Difference> {
  const { rows, width } = output;
  if (rows * width !== expected.length) return compare(new Float32Array(0), expected, width);
  const comparison = new OutputComparison(expected, width);
  const step = Math.max(1, Math.floor(BLOCK / width));
  for (let from = 0; from < rows; from += step)
    comparison.add(await output.read(from, Math.min(rows, from + step)));
  return comparison.result();
}

/** Folds the differences of two outputs, block by block. */
export class OutputComparison {
  private readonly step: number;
  private readonly differences: Float32Array;
  private at = 0;
  private largest = 0;
  private scale = 0;
  private equal = true;
  private agreeing = 0;

  constructor(
    private readonly expected: Float32Array,
    private readonly width: number,
  ) {
    // The median of an even sample is enough: a copy of all logits of a large vocabulary would take as much as a layer.
    this.step = Math.ceil(expected.length / MEDIAN_OF) | 1;
    this.differences = new Float32Array(Math.ceil(expected.length / this.step));
  }

  /** The next rows, [rows, width]. */
  add(found: Float32Array): void {
    const { width, step, at, differences } = this;
    const expected = this.expected.subarray(at, at + found.length);
    let { largest, scale, equal } = this;
    let next = (step - (at % step)) % step;
    for (let row = 0; row < found.length; row += width) {
      let [best, expectedBest] = [row, row];
      for (let i = row; i < row + width; i++) {
        const a = found[i]!;
        const b = expected[i]!;
        if (a > found[best]!) best = i;
        if (b > expected[expectedBest]!) expectedBest = i;
        const size = Math.abs(b);
        if (size > scale) scale = size;
        const d = Math.abs(a - b);
        if (i === next) {
          differences[(at + i) / step] = d;
          next += step;
        }
        if (a === b) continue;
        equal = false;
        if (!(d <= largest)) largest = Number.isNaN(d) ? Infinity : d;
      }
      if (best === expectedBest) this.agreeing++;
    }
    Object.assign(this, { largest, scale, equal });
    this.at += found.length;
  }

  result(): Difference {
    const { differences, largest, scale, equal } = this;
    differences.sort();
    const median = differences[differences.length >> 1] ?? 0;
    return { largest, scale, median, argmaxAgreement: (this.agreeing * this.width) / this.at, equal };
  }
}
