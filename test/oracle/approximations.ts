import { hidden, score, value } from './edges';
import type { CoreInput } from '../../engine/attention/core';

/** Plain float64 matrices, row after row. */
export type Matrix = number[][];

export const multiply = (a: Matrix, b: Matrix): Matrix =>
  a.map(row => b[0]!.map((_, j) => row.reduce((sum, x, t) => sum + x * b[t]![j]!, 0)));
export const transpose = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map(row => row[j]!));
export const softmaxRows = (a: Matrix): Matrix =>
  a.map(row => {
    const top = Math.max(...row);
    const e = row.map(x => Math.exp(x - top));
    const sum = e.reduce((s, x) => s + x, 0);
    return e.map(x => x / sum);
  });

/** Queries, keys and values of one head; the scale is split evenly between queries and keys. */
export function headMatrices(input: CoreInput, head: number): { q: Matrix; k: Matrix; v: Matrix } {
  const kv = Math.floor(head / (input.heads / input.kvHeads));
  const root = Math.sqrt(input.rule.scale[head]!);
  const take = (data: Float32Array, first: number, rows: number, width: number, factor: number) =>
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: width }, (__, c) => data[(first + i) * width + c]! * factor),
    );
  return {
    q: take(input.q, head * input.queries, input.queries, input.dim, root),
    k: take(input.k, kv * input.keys, input.keys, input.dim, root),
    v: take(input.v, kv * input.keys, input.keys, input.valueDim, 1),
  };
}

/** alpha-entmax by bisection alone, on all values. */
export function entmaxRow(scores: number[], alpha: number): number[] {
  if (scores.every(s => s === -Infinity)) return scores.map(() => 0);
  const top = Math.max(...scores);
  const z = scores.map(s => (alpha - 1) * (s - top));
  const p = (tau: number) => z.map(x => Math.max(0, x - tau) ** (1 / (alpha - 1)));
  let low = -1;
  let high = 0;
  for (let step = 0; step < 200; step++) {
    const tau = (low + high) / 2;
    if (p(tau).reduce((a, b) => a + b, 0) >= 1) low = tau;
    else high = tau;
  }
  const raw = p(low);
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map(x => x / sum);
}

export function scoreMatrix(input: CoreInput, head: number): Matrix {
  return Array.from({ length: input.queries }, (_, i) =>
    Array.from({ length: input.keys }, (__, j) => score(input, head, i, j)),
  );
}

/** FAVOR+ with the stabilisers and epsilons of the authors' code; the key maximum is of the head. */
export function performerMap(input: CoreInput, head: number, w: Matrix): Matrix {
  const { q, k } = headMatrices(input, head);
  const dots = (x: Matrix) => multiply(x, transpose(w));
  const half = (x: number[]) => x.reduce((s, y) => s + y * y, 0) / 2;
  const ratio = 1 / Math.sqrt(w.length);
  const kd = dots(k);
  const keyMax = Math.max(...kd.flat());
  const phiQ = dots(q).map((row, i) =>
    row.map(x => ratio * (Math.exp(x - half(q[i]!) - Math.max(...row)) + 1e-4)),
  );
  const phiK = kd.map((row, j) => row.map(x => ratio * (Math.exp(x - half(k[j]!) - keyMax) + 1e-4)));
  const shift = input.keys - input.queries;
  return multiply(phiQ, transpose(phiK)).map((row, i) => {
    const seen = row.map((x, j) => (hidden(input, i + shift, j) ? 0 : x));
    let sum = seen.reduce((a, b) => a + b, 0);
    if (input.rule.mask.causal) sum += 1e-6 * phiQ[i]!.reduce((a, b) => a + b, 0);
    return seen.map(x => x / sum);
  });
}

export function linformerMap(input: CoreInput, head: number, e: Matrix, f: Matrix): Matrix {
  const { q, k } = headMatrices(input, head);
  const low = multiply(transpose(e), k);
  return multiply(softmaxRows(multiply(q, transpose(low))), transpose(f));
}

/** `pinv` maps the landmark matrix to its inverse. */
export function nystromMap(
  input: CoreInput,
  head: number,
  landmarks: number,
  pinv: (a: Matrix) => Matrix,
): Matrix {
  const { q, k } = headMatrices(input, head);
  const means = (x: Matrix) =>
    Array.from({ length: landmarks }, (_, a) => {
      const rows = x.slice(
        Math.floor((a * x.length) / landmarks),
        Math.floor(((a + 1) * x.length) / landmarks),
      );
      return rows[0]!.map((__, c) => rows.reduce((s, row) => s + row[c]!, 0) / rows.length);
    });
  const lq = means(q);
  const lk = means(k);
  const map = (a: Matrix, b: Matrix) => softmaxRows(multiply(a, transpose(b)));
  return multiply(multiply(map(q, lk), pinv(map(lq, lk))), map(lq, k));
}

/** Inverse of a regular matrix by Gauss-Jordan elimination with pivoting. */
export function inverse(a: Matrix): Matrix {
  const n = a.length;
  const m = a.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c; r < n; r++) if (Math.abs(m[r]![c]!) > Math.abs(m[pivot]![c]!)) pivot = r;
    [m[c], m[pivot]] = [m[pivot]!, m[c]!];
    const head = m[c]![c]!;
    m[c] = m[c]!.map(x => x / head);
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = m[r]![c]!;
      m[r] = m[r]!.map((x, j) => x - factor * m[c]![j]!);
    }
  }
  return m.map(row => row.slice(n));
}

/** Six steps of Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4 from A^T over the largest column sum. */
export function newtonInverse(a: Matrix): Matrix {
  const plus = (s: number, x: Matrix, factor: number): Matrix =>
    x.map((row, i) => row.map((y, j) => (i === j ? s : 0) + factor * y));
  const widest = Math.max(...transpose(a).map(column => column.reduce((s, x) => s + x, 0)));
  let z = transpose(a).map(row => row.map(x => x / widest));
  for (let t = 0; t < 6; t++) {
    const az = multiply(a, z);
    const seven = plus(7, az, -1);
    const fifteen = plus(15, multiply(az, seven), -1);
    const thirteen = plus(13, multiply(az, fifteen), -1);
    z = multiply(z, thirteen).map(row => row.map(x => x / 4));
  }
  return z;
}

/** alpha I + beta A - gamma C. */
export function shapedMap(
  input: CoreInput,
  head: number,
  alpha: number,
  beta: number,
  gamma: number,
): Matrix {
  const shift = input.keys - input.queries;
  return softmaxRows(scoreMatrix(input, head)).map((row, i) => {
    const visible = row.map((_, j) => !hidden(input, i + shift, j));
    const count = visible.filter(Boolean).length;
    return row.map((a, j) => (visible[j] ? (j === i + shift ? alpha : 0) + beta * a - gamma / count : 0));
  });
}

/** Output of a map, [queries, valueDim] flattened. */
export function apply(input: CoreInput, head: number, map: Matrix): number[] {
  return map.flatMap(row =>
    Array.from({ length: input.valueDim }, (_, c) =>
      row.reduce((sum, w, j) => sum + (w === 0 ? 0 : w * value(input, head, j, c)), 0),
    ),
  );
}
