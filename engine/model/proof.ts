import { biasAt, kvHead, visibleKeys, type CoreInput } from '../attention/core';
import { argmax } from '../statistics';

/** Plain dense attention, row by row in float64: the core that a cut model is proved with when no other is given. */
export function referenceAttend(input: CoreInput): Float32Array {
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
  let max = -Infinity;
  for (let j = from; j < to; j++) {
    const k = (kvHead(input, head) * keys + j) * dim;
    let dot = 0;
    for (let d = 0; d < dim; d++) dot += input.q[q + d]! * input.k[k + d]!;
    const score = dot * rule.scale[head]!;
    const capped = rule.softCap === null ? score : rule.softCap * Math.tanh(score / rule.softCap);
    logits[j] = capped + biasAt(input, head, query, j);
    max = Math.max(max, logits[j]!);
  }
  if (max === -Infinity) return logits.fill(0);
  let sum = 0;
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

const MEDIAN_OF = 2 ** 18;

/** Two outputs of the same rows, [rows, width]. NaN or a missing value counts as infinitely far. */
export function compare(found: Float32Array, expected: Float32Array, width: number): Difference {
  const count = expected.length;
  if (found.length !== count)
    return { largest: Infinity, scale: 1, median: Infinity, argmaxAgreement: 0, equal: false };
  // The median of an even sample is enough: a copy of all logits of a large vocabulary would take as much as a layer.
  const step = Math.ceil(count / MEDIAN_OF) | 1;
  const differences = new Float32Array(Math.ceil(count / step));
  let largest = 0;
  let scale = 0;
  let equal = true;
  for (let i = 0; i < count; i++) {
    const a = found[i]!;
    const b = expected[i]!;
    if (a !== b) equal = false;
    const d = Math.abs(a - b);
    if (i % step === 0) differences[i / step] = d;
    if (!(d <= largest)) largest = Number.isNaN(d) ? Infinity : d;
    scale = Math.max(scale, Math.abs(b));
  }
  let agreeing = 0;
  for (let row = 0; row < count / width; row++) {
    const range = [row * width, (row + 1) * width] as const;
    if (argmax(found.subarray(...range)) === argmax(expected.subarray(...range))) agreeing++;
  }
  differences.sort();
  return {
    largest,
    scale,
    median: differences[differences.length >> 1] ?? 0,
    argmaxAgreement: agreeing / (count / width),
    equal,
  };
}
