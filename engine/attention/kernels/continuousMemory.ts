import { bumpsAt, ridgeFit, type Basis, type RidgeFit } from '../maths/gaussianBasis';

/**
 * The unbounded memory of the infinity-former (sections 3.2 and 3.3): at each segment the function that holds the past is read
 * at some places, which are squeezed into the first part of 0..1, and the new tokens take the rest. Sticky memories read it
 * more densely where it was attended to. The authors draw these places; here they are even quantiles of the same distribution.
 */

/** As in the paper: places at which an old memory is read, the part of the new one that they take, bins of the histogram. */
const SAMPLES = 512;
const OLD_PART = 0.75;
export const BINS = 128;

export type MemoryKind = 'sticky' | 'even' | 'whole';

/** Keys and values as functions: [bumps, dim] and [bumps, valueDim]. */
export interface Coefficients {
  k: Float64Array;
  v: Float64Array;
}

/** What is before a segment as functions of the position 0..1; its places are the same for all heads. */
export interface Memory {
  /** Tokens that it holds: 0 .. start-1. */
  readonly start: number;
  readonly fit: RidgeFit;
  /**
   * The memory that was read for it; null = all its tokens were fitted as they are. `transfer` [bumps, bumps]: what a reading of
   * this memory reads of the old one's bumps.
   */
  readonly old: { memory: Memory; transfer: Float64Array } | null;
  /** How many tokens lie before a position. */
  readonly tokensBefore: Curve;
  /** Per key/value head, made when they are asked for. */
  readonly coefficients: Map<number, Coefficients>;
}

/** Linear between its points; x ascends. */
export interface Curve {
  x: Float64Array;
  y: Float64Array;
}

/** All tokens before `start`, fitted as they are. */
export function plainMemory(basis: Basis, start: number, ridge: number): Memory {
  return {
    start,
    fit: ridgeFit(basis, start, ridge),
    old: null,
    tokensBefore: { x: Float64Array.of(0, 1), y: Float64Array.of(0, start) },
    coefficients: new Map(),
  };
}

/** Places of `SAMPLES` old samples and of `added` tokens in the memory that follows. */
export function placesAfter(added: number): Float64Array {
  return Float64Array.from({ length: SAMPLES + added }, (_, t) =>
    t < SAMPLES
      ? (OLD_PART * (t + 0.5)) / SAMPLES
      : OLD_PART + ((1 - OLD_PART) * (t - SAMPLES + 0.5)) / added,
  );
}

/** The memory after `added` more tokens. `mass`: what each bin of the old one was attended to; null = it is read evenly. */
export function nextMemory(
  basis: Basis,
  memory: Memory,
  added: number,
  fit: RidgeFit,
  mass: Float64Array | null,
): Memory {
  const places = mass ? quantiles(mass, SAMPLES) : evenly(SAMPLES);
  // A sample stands for the tokens around it.
  const x = Float64Array.from({ length: SAMPLES + 2 }, (_, m) =>
    m > SAMPLES ? 1 : (OLD_PART * m) / SAMPLES,
  );
  const y = x.map((_, m) => {
    if (m > SAMPLES) return memory.start + added;
    if (m === 0) return 0;
    return m === SAMPLES ? memory.start : at(memory.tokensBefore, (places[m - 1]! + places[m]!) / 2);
  });
  return {
    start: memory.start + added,
    fit,
    old: { memory, transfer: transferOf(basis, fit, places) },
    tokensBefore: { x, y },
    coefficients: new Map(),
  };
}

function transferOf(basis: Basis, fit: RidgeFit, places: Float64Array): Float64Array {
  const bumps = basis.centre.length;
  const read = Array.from(places, place => bumpsAt(basis, place));
  const transfer = new Float64Array(bumps * bumps);
  for (let i = 0; i < bumps; i++) {
    const one = new Float64Array(bumps);
    one[i] = 1;
    const weights = fit.weights(one);
    read.forEach((values, m) => {
      for (let j = 0; j < bumps; j++) transfer[j * bumps + i]! += weights[m]! * values[j]!;
    });
  }
  return transfer;
}

/** Tokens in each of the bins. */
export function tokensOfBins({ tokensBefore }: Memory): Float64Array {
  return Float64Array.from(
    { length: BINS },
    (_, b) => at(tokensBefore, (b + 1) / BINS) - at(tokensBefore, b / BINS),
  );
}

/** Keys [.., dim] and values [.., valueDim] of one key/value head, from which `memory` takes its tokens. */
export function coefficientsOf(
  memory: Memory,
  basis: Basis,
  kv: number,
  tokens: { k: Float32Array; v: Float32Array; dim: number; valueDim: number },
): Coefficients {
  let known = memory.coefficients.get(kv);
  if (!known) {
    const { old } = memory;
    const before = old && coefficientsOf(old.memory, basis, kv, tokens);
    const fitted = (data: Float32Array, width: number, earlier: Float64Array | null) => {
      const added = data.subarray((old?.memory.start ?? 0) * width, memory.start * width);
      const sum = memory.fit.coefficients(added, width, old ? SAMPLES : 0);
      const bumps = basis.centre.length;
      if (old && earlier)
        for (let j = 0; j < bumps; j++)
          for (let i = 0; i < bumps; i++) {
            const factor = old.transfer[j * bumps + i]!;
            for (let c = 0; c < width; c++) sum[i * width + c]! += factor * earlier[j * width + c]!;
          }
      return sum;
    };
    known = {
      k: fitted(tokens.k, tokens.dim, before && before.k),
      v: fitted(tokens.v, tokens.valueDim, before && before.v),
    };
    memory.coefficients.set(kv, known);
  }
  return known;
}

/** A function's value at a position, [width]. */
export function read(
  basis: Basis,
  position: number,
  coefficients: Float64Array,
  width: number,
): Float64Array {
  const value = new Float64Array(width);
  bumpsAt(basis, position).forEach((bump, j) => {
    if (bump < 1e-30) return;
    for (let c = 0; c < width; c++) value[c]! += bump * coefficients[j * width + c]!;
  });
  return value;
}

/** What each token 0 .. start-1 contributes to a weighted sum of a memory's coefficients. */
export function tokenWeights(memory: Memory, reads: Float64Array): Float64Array {
  const weights = new Float64Array(memory.start);
  const bumps = reads.length;
  let [here, asked]: [Memory, Float64Array] = [memory, reads];
  for (;;) {
    const { old } = here;
    if (!old) {
      weights.set(here.fit.weights(asked));
      return weights;
    }
    weights.set(here.fit.weights(asked, SAMPLES), old.memory.start);
    const before = new Float64Array(bumps);
    for (let j = 0; j < bumps; j++)
      for (let i = 0; i < bumps; i++) before[j]! += old.transfer[j * bumps + i]! * asked[i]!;
    [here, asked] = [old.memory, before];
  }
}

/** Mass of Gaussian densities in each bin of 0..1; what lies outside is nobody's. */
export function massOfBins(mu: Float32Array, sigma: Float32Array, into: Float64Array): void {
  for (let i = 0; i < mu.length; i++) {
    let below = normalBelow(-mu[i]! / sigma[i]!);
    for (let b = 0; b < BINS; b++) {
      const above = normalBelow(((b + 1) / BINS - mu[i]!) / sigma[i]!);
      into[b]! += above - below;
      below = above;
    }
  }
}

/** Share of a standard normal distribution below x (Abramowitz and Stegun 26.2.17: within 7.5e-8). */
function normalBelow(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const terms = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429];
  const tail =
    (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * terms.reduceRight((sum, a) => (sum + a) * t, 0);
  return x > 0 ? 1 - tail : tail;
}

const evenly = (count: number) => Float64Array.from({ length: count }, (_, m) => (m + 0.5) / count);

/** Positions at even quantiles of a histogram over 0..1, ascending. */
function quantiles(mass: Float64Array, count: number): Float64Array {
  const y = new Float64Array(mass.length + 1);
  mass.forEach((m, b) => (y[b + 1] = y[b]! + m));
  const total = y[mass.length]!;
  if (!(total > 0)) return evenly(count);
  let bin = 0;
  return evenly(count).map(share => {
    while (bin < mass.length - 1 && y[bin + 1]! < share * total) bin++;
    const within = mass[bin]! > 0 ? (share * total - y[bin]!) / mass[bin]! : 0.5;
    return (bin + Math.min(1, Math.max(0, within))) / mass.length;
  });
}

/** The curve's value at a position of 0..1. */
function at({ x, y }: Curve, position: number): number {
  let [low, high] = [0, x.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle]! <= position) low = middle;
    else high = middle;
  }
  return y[low]! + ((position - x[low]!) / (x[high]! - x[low]!)) * (y[high]! - y[low]!);
}
