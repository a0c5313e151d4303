import { seededGaussians } from '../../engine/attention/maths/random';
import type { CoreInput } from '../../engine/attention/core';
import { headMatrices, multiply, softmaxRows, transpose, type Matrix } from './approximations';

/** Causal forms with a summary of the past, as plain float64 matrices: every map is written out whole. */

/** What queries make of the keys before a segment: shares of its mass, [queries][start], and the log of the mass. */
export interface PastMap {
  weights: Matrix;
  mass: number[];
}

const dot = (a: number[], b: number[]) => a.reduce((sum, x, c) => sum + x * b[c]!, 0);
const logSumOf = (scores: number[]) => Math.log(scores.reduce((sum, x) => sum + Math.exp(x), 0));

/** Own segments as they are and the past by its summary, under one softmax: [queries][keys]. */
export function withPast(
  input: CoreInput,
  head: number,
  segment: number,
  past: (queries: { from: number; to: number }, start: number) => PastMap,
): Matrix {
  const { q, k } = headMatrices(input, head);
  const shift = input.keys - input.queries;
  const map: Matrix = [];
  for (let from = 0; from < input.queries; from += segment) {
    const to = Math.min(input.queries, from + segment);
    const start = from + shift;
    const before = start > 0 ? past({ from, to }, start) : null;
    for (let i = from; i < to; i++) {
      const row = k.map((key, j) => (j >= start && j <= i + shift ? Math.exp(dot(q[i]!, key)) : 0));
      before?.weights[i - from]!.forEach((w, j) => (row[j] = w * Math.exp(before.mass[i - from]!)));
      const own = row.slice(start).reduce((a, b) => a + b, 0);
      const all = own + (before ? Math.exp(before.mass[i - from]!) : 0);
      map.push(row.map(x => x / all));
    }
  }
  return map;
}

/** Consecutive stretches as equal as can be, as a matrix of means [count][length] and their lengths. */
function meansOf(length: number, count: number): { means: Matrix; sizes: number[] } {
  const at = (a: number) => Math.floor((a * length) / count);
  const sizes = Array.from({ length: count }, (_, a) => at(a + 1) - at(a));
  const means = sizes.map((size, a) =>
    Array.from({ length }, (_, j) => (j >= at(a) && j < at(a + 1) ? 1 / size : 0)),
  );
  return { means, sizes };
}

/** Mixtures of the past; `seed`: random projections. */
export function linformerPast(input: CoreInput, head: number, rank: number, seed: number | null) {
  const { q, k } = headMatrices(input, head);
  return ({ from, to }: { from: number; to: number }, start: number): PastMap => {
    const m = Math.min(rank, start);
    const drawn = (salt: number): Matrix => {
      const data = seededGaussians(start * m, 2 * seed! + salt);
      return transpose(
        Array.from({ length: start }, (_, j) =>
          Array.from({ length: m }, (__, r) => data[j * m + r]! / Math.sqrt(m)),
        ),
      );
    };
    const { means } = meansOf(start, m);
    const [e, f] = seed === null ? [means, means] : [drawn(0), drawn(1)];
    const scores = multiply(q.slice(from, to), transpose(multiply(e, k.slice(0, start))));
    return {
      weights: multiply(softmaxRows(scores), f),
      mass: scores.map(row => logSumOf(row) + Math.log(start / m)),
    };
  };
}

export function nystromPast(input: CoreInput, head: number, landmarks: number, pinv: (a: Matrix) => Matrix) {
  const { q, k } = headMatrices(input, head);
  return ({ from, to }: { from: number; to: number }, start: number): PastMap => {
    const { means, sizes } = meansOf(start, Math.min(landmarks, start));
    const [lq, lk] = [multiply(means, q.slice(0, start)), multiply(means, k.slice(0, start))];
    const own = q.slice(from, to);
    const map = (a: Matrix, b: Matrix) => softmaxRows(multiply(a, transpose(b)));
    return {
      weights: multiply(multiply(map(own, lk), pinv(map(lq, lk))), map(lq, k.slice(0, start))),
      mass: own.map(query => logSumOf(lk.map((key, a) => dot(query, key) + Math.log(sizes[a]!)))),
    };
  };
}

interface Bump {
  mu: number;
  sigma: number;
}

const normal = (x: number, mu: number, variance: number) =>
  Math.exp(-((x - mu) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

/** By Simpson's rule over 64 steps. */
function integral(f: (x: number) => number, from: number, to: number): number {
  const steps = 64;
  const h = (to - from) / steps;
  let sum = f(from) + f(to);
  for (let t = 1; t < steps; t++) sum += (t % 2 ? 4 : 2) * f(from + t * h);
  return (sum * h) / 3;
}

interface PastFunction {
  start: number;
  /** Coefficients of the bumps from the tokens: [bumps][start] */
  from: Matrix;
  /** Tokens before a position. */
  before(x: number): number;
}

/** The long-term memory of the infinity-former; all heads together, since sticky memories share their places. */
export function continuousPast(
  input: CoreInput,
  { bumps, ridge, segment, memory }: { bumps: number; ridge: number; segment: number; memory: string },
  invert: (a: Matrix) => Matrix,
): (head: number) => (queries: { from: number; to: number }, start: number) => PastMap {
  const half = bumps / 2;
  const basis: Bump[] = [0.01, 0.05].flatMap(sigma =>
    Array.from({ length: half }, (_, j) => ({ mu: half === 1 ? 0 : j / (half - 1), sigma })),
  );
  const values = (x: number) => basis.map(({ mu, sigma }) => normal(x, mu, sigma * sigma));
  /** [bumps][samples]: the fit of samples at these places, with zeros for half as many on either side. */
  const fit = (places: number[]): Matrix => {
    const n = places.length;
    const pad = Math.floor(n / 2);
    const around = Array.from({ length: pad }, (_, t) => [-(t + 0.5) / n, 1 + (t + 0.5) / n]).flat();
    const gram = basis.map((_, i) => basis.map((__, j) => (i === j ? ridge : 0)));
    for (const x of [...places, ...around]) {
      const psi = values(x);
      psi.forEach((a, i) => psi.forEach((b, j) => (gram[i]![j]! += a * b)));
    }
    return multiply(invert(gram), transpose(places.map(values)));
  };
  const evenly = (n: number) => Array.from({ length: n }, (_, t) => (t + 0.5) / n);
  const heads = Array.from({ length: input.heads }, (_, h) => headMatrices(input, h));
  const density = (head: number, query: number, { start, from }: PastFunction) => {
    const fitted = multiply(from, heads[head]!.k.slice(0, start));
    const p = softmaxRows([fitted.map(key => dot(heads[head]!.q[query]!, key))])[0]!;
    const mu = p.reduce((sum, x, j) => sum + x * basis[j]!.mu, 0);
    const square = p.reduce((sum, x, j) => sum + x * (basis[j]!.mu ** 2 + basis[j]!.sigma ** 2), 0);
    return { mu, variance: square - mu * mu, fitted };
  };
  const plain = (start: number): PastFunction => ({
    start,
    from: fit(evenly(start)),
    before: x => x * start,
  });
  const memories = new Map<number, PastFunction>();
  const shift = input.keys - input.queries;
  const next = (old: PastFunction, queries: { from: number; to: number }): PastFunction => {
    const added = queries.to - queries.from;
    let places = evenly(512);
    if (memory === 'sticky') {
      const mass = Array.from({ length: 128 }, (_, b) => {
        let sum = 0;
        for (let head = 0; head < input.heads; head++)
          for (let i = queries.from; i < queries.to; i++) {
            const { mu, variance } = density(head, i, old);
            sum += integral(x => normal(x, mu, variance), b / 128, (b + 1) / 128);
          }
        return sum;
      });
      const total = mass.reduce((a, b) => a + b, 0);
      places = places.map(share => {
        let left = share * total;
        const bin = mass.findIndex(m => (left <= m ? true : ((left -= m), false)));
        return bin < 0 ? 1 : (bin + left / mass[bin]!) / 128;
      });
    }
    const g = fit([...evenly(512).map(x => 0.75 * x), ...evenly(added).map(x => 0.75 + 0.25 * x)]);
    const [olds, news] = [g.map(row => row.slice(0, 512)), g.map(row => row.slice(512))];
    const back = multiply(multiply(olds, places.map(values)), old.from);
    const borders = [0, ...places.slice(1).map((x, m) => old.before((x + places[m]!) / 2)), old.start];
    return {
      start: old.start + added,
      from: back.map((row, j) => [...row, ...news[j]!]),
      before: x => {
        if (x >= 0.75) return old.start + ((x - 0.75) / 0.25) * added;
        const m = Math.min(511, Math.floor((x / 0.75) * 512));
        return borders[m]! + ((x / 0.75) * 512 - m) * (borders[m + 1]! - borders[m]!);
      },
    };
  };
  const memoryBefore = (start: number): PastFunction => {
    let known = memories.get(start);
    if (!known) {
      const earlier = start - segment;
      known =
        memory === 'whole' || earlier < Math.max(1, shift)
          ? plain(start)
          : next(memoryBefore(earlier), { from: earlier - shift, to: earlier - shift + segment });
      memories.set(start, known);
    }
    return known;
  };
  return head =>
    ({ from, to }, start) => {
      const held = memoryBefore(start);
      const rows = Array.from({ length: to - from }, (_, r) => density(head, from + r, held));
      const weights = rows.map(({ mu, variance }) => {
        const reads = basis.map(b => normal(mu, b.mu, variance + b.sigma ** 2));
        return multiply([reads], held.from)[0]!;
      });
      const mass = rows.map(({ fitted }, r) =>
        logSumOf(
          evenly(128).map((x, b) => {
            const key = multiply([values(x)], fitted)[0]!;
            const tokens = held.before((b + 1) / 128) - held.before(b / 128);
            return dot(heads[head]!.q[from + r]!, key) + Math.log(tokens);
          }),
        ),
      );
      return { weights, mass };
    };
}
