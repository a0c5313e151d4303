import { headMatrices, multiply, softmaxRows, transpose, type Matrix } from './approximations';
import type { CoreInput } from '../../engine/attention/core';

/** A span of tokens from .. to-1. */
export type Span = readonly [number, number];

/**
 * BP-Transformer, section 3.2, by the rule of the authors' graph: pointers to the next uncovered node on each side,
 * k nodes a level; going up, a pointer whose parent would overlap what is covered takes its own node first.
 */
export function spansRead(n: number, i: number, k: number, causal: boolean): Span[] {
  const spans: Span[] = [[i, i + 1]];
  const clip = (from: number, to: number) => {
    if (to > 0 && from < n) spans.push([Math.max(0, from), Math.min(n, to)]);
  };
  let left = i - 1; // next node on the left, on the current level
  let right = i + 1;
  for (let size = 1; size < 2 * n; size *= 2) {
    let reads = k;
    if (size > 1) {
      const overlaps = (left & 1) === 0;
      if (overlaps && left >= 0) {
        clip((left * size) / 2, ((left + 1) * size) / 2);
        left--;
        reads--;
      }
      left = Math.floor((left - 1) / 2);
    }
    for (let t = 0; t < reads && left >= 0; t++, left--) clip(left * size, (left + 1) * size);
    if (causal) continue;
    reads = k;
    if (size > 1) {
      if ((right & 1) === 1 && (right * size) / 2 < n) {
        clip((right * size) / 2, ((right + 1) * size) / 2);
        right++;
        reads--;
      }
      right = Math.ceil(right / 2);
    }
    for (let t = 0; t < reads && right * size < n; t++, right++) clip(right * size, (right + 1) * size);
  }
  return spans;
}

/** Spans read as one node: mean key and value, log of the length added to the score. */
export function spanMap(input: CoreInput, head: number, k: number): Matrix {
  const { q, k: keys } = headMatrices(input, head);
  const n = input.keys;
  return q.map((query, i) => {
    const spans = spansRead(n, i + n - input.queries, k, input.rule.mask.causal);
    const scores = spans.map(([from, to]) => {
      const mean = keys[0]!.map(
        (_, c) => keys.slice(from, to).reduce((s, row) => s + row[c]!, 0) / (to - from),
      );
      return mean.reduce((s, x, c) => s + x * query[c]!, 0) + Math.log(to - from);
    });
    const weights = softmaxRows([scores])[0]!;
    const row = new Array<number>(n).fill(0);
    spans.forEach(([from, to], t) => {
      for (let j = from; j < to; j++) row[j]! += weights[t]! / (to - from);
    });
    return row;
  });
}

/** infinity-former: G of the ridge fit with zeros beyond the text, [length][bumps], and the bumps. */
export function ridge(length: number, bumps: number, penalty: number, invert: (a: Matrix) => Matrix) {
  const half = bumps / 2;
  const basis = [0.01, 0.05].flatMap(sigma =>
    Array.from({ length: half }, (_, j) => ({ mu: half === 1 ? 0 : j / (half - 1), sigma })),
  );
  // As the authors lay the grid over -0.5 .. 1.5, for even and for odd lengths.
  const shift = length % 2 === 1 ? 1 / length : 1 / (2 * length);
  const count = length % 2 === 1 ? 2 * length - 1 : 2 * length;
  const grid = Array.from({ length: count }, (_, t) =>
    count === 1 ? 0.5 : -0.5 + shift + (t * (2 - 2 * shift)) / (count - 1),
  );
  const f = basis.map(({ mu, sigma }) =>
    grid.map(t => Math.exp(-((t - mu) ** 2) / (2 * sigma * sigma)) / (sigma * Math.sqrt(2 * Math.PI))),
  );
  const gram = multiply(f, transpose(f)).map((row, i) => row.map((x, j) => x + (i === j ? penalty : 0)));
  const g = multiply(transpose(f), invert(gram));
  const crop = Math.floor(length / 2);
  return { basis, g: g.slice(crop, crop + length) };
}

export function continuousHead(
  input: CoreInput,
  head: number,
  bumps: number,
  penalty: number,
  invert: (a: Matrix) => Matrix,
): { mu: number[]; sigma: number[]; map: Matrix } {
  const { q, k } = headMatrices(input, head);
  const { basis, g } = ridge(input.keys, bumps, penalty, invert);
  const fitted = multiply(transpose(g), k);
  const p = softmaxRows(multiply(q, transpose(fitted)));
  const mu = p.map(row => row.reduce((s, x, j) => s + x * basis[j]!.mu, 0));
  const variance = p.map(
    (row, i) => row.reduce((s, x, j) => s + x * (basis[j]!.mu ** 2 + basis[j]!.sigma ** 2), 0) - mu[i]! ** 2,
  );
  const reads = mu.map((m, i) =>
    basis.map(b => {
      const total = variance[i]! + b.sigma ** 2;
      return Math.exp(-((m - b.mu) ** 2) / (2 * total)) / Math.sqrt(2 * Math.PI * total);
    }),
  );
  return { mu, sigma: variance.map(Math.sqrt), map: multiply(reads, transpose(g)) };
}
