import type { Interval } from './protocol/mechanisms';
import { SEEDS, seededUniform } from './random';

/**
 * The circular block bootstrap (Politis and Romano, 1992): neighbouring tokens are alike, so whole blocks of them are drawn,
 * going on at the beginning where a text ends. Seeded: quantities of as many tokens in blocks as long are drawn alike.
 */
const DRAWS = 2000;
/** Tokens of a block. */
const SHORTEST = 32;
const LONGEST = 128;
/** A text has at least so many blocks, however short. */
const FEWEST_BLOCKS = 8;
/** What is drawn alike has blocks of one length, whatever their correlations: so many of them. */
const BLOCKS_ALIKE = 32;
/** Of texts with fewer tokens nothing can be told. */
export const FEWEST_TOKENS = 2 * FEWEST_BLOCKS;

/** The mean over all tokens of some texts, in each draw; of several texts first the texts are drawn. */
export function drawnMeans(
  texts: readonly ArrayLike<number>[],
  uniform: () => number = seededUniform(SEEDS.bootstrap),
): Float64Array {
  const parts = texts.map(values => ({ size: blockLength(values), above: new Circle(values), below: null }));
  return draw(parts, uniform);
}

/** Sum of `above` over sum of `below` in each draw, 0 where that is 0: alike for all pairs of as many tokens. */
export function drawnRatios(above: ArrayLike<number>, below: ArrayLike<number>): Float64Array {
  const size = Math.min(LONGEST, Math.max(1, Math.floor(above.length / BLOCKS_ALIKE)));
  return draw([{ size, above: new Circle(above), below: new Circle(below) }], seededUniform(SEEDS.bootstrap));
}

/** Mean of several quantities that were drawn alike, draw by draw. */
export function meanOfDraws(all: readonly Float64Array[]): Float64Array {
  return Float64Array.from({ length: DRAWS }, (_, at) => {
    let sum = 0;
    for (const one of all) sum += one[at]!;
    return sum / all.length;
  });
}

/** The middle 95 % of what was drawn. */
export function middle95(draws: Float64Array): Interval {
  const sorted = draws.slice().sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return { low: at(0.025), high: at(0.975) };
}

/** `below` null: the number of tokens. */
interface Part {
  size: number;
  above: Circle;
  below: Circle | null;
}

function draw(parts: readonly Part[], uniform: () => number): Float64Array {
  const anyOf = (count: number) => Math.floor(uniform() * count);
  return Float64Array.from({ length: DRAWS }, () => {
    let [numerator, denominator] = [0, 0];
    for (let t = 0; t < parts.length; t++) {
      const { size, above, below } = parts[parts.length > 1 ? anyOf(parts.length) : 0]!;
      const { length } = above;
      for (let left = length; left > 0; left -= size) {
        const [from, count] = [anyOf(length), Math.min(left, size)];
        numerator += above.sum(from, count);
        denominator += below ? below.sum(from, count) : count;
      }
    }
    return denominator === 0 ? 0 : numerator / denominator;
  });
}

/** Sums of neighbours that go on at the beginning where the values end. */
class Circle {
  readonly length: number;
  private readonly sums: Float64Array;

  constructor(values: ArrayLike<number>) {
    const { length } = values;
    this.length = length;
    this.sums = new Float64Array(2 * length + 1);
    for (let t = 0; t < 2 * length; t++) this.sums[t + 1] = this.sums[t]! + values[t % length]!;
  }

  sum(from: number, count: number): number {
    return this.sums[from + count]! - this.sums[from]!;
  }
}

/**
 * Tokens of a block: four times the correlation time, the sum of the autocorrelations up to the first that is within the
 * noise of independent values, between 32 and 128; of short texts an eighth.
 */
function blockLength(values: ArrayLike<number>): number {
  const { length } = values;
  let mean = 0;
  for (let t = 0; t < length; t++) mean += values[t]! / length;
  const covariance = (lag: number) => {
    let sum = 0;
    for (let t = lag; t < length; t++) sum += (values[t]! - mean) * (values[t - lag]! - mean);
    return sum;
  };
  const variance = covariance(0);
  let time = 1;
  for (let lag = 1; variance > 0 && lag < Math.min(LONGEST, length); lag++) {
    const correlation = covariance(lag) / variance;
    if (correlation < 2 / Math.sqrt(length)) break;
    time += 2 * correlation;
  }
  return shortened(Math.min(LONGEST, Math.max(SHORTEST, Math.ceil(4 * time))), length);
}

const shortened = (wanted: number, length: number) =>
  Math.max(1, Math.min(wanted, Math.floor(length / FEWEST_BLOCKS)));
