import { LOSS_ROUNDING, type RunEffect, type Verdict } from './protocol/plans';
import type { Interval } from './protocol/mechanisms';
import { SEEDS, seededUniform } from './random';

/** How sure the mean of changes per token is: an interval, and on how few tokens it rests. */

const DRAWS = 2000;
/** Tokens of a block. */
const SHORTEST = 32;
const LONGEST = 128;
/** A text has at least so many blocks, however short; with fewer tokens than two of each there is no interval. */
const FEWEST_BLOCKS = 8;

/**
 * 95 % percentile interval of the mean over all tokens of some texts, by the circular block bootstrap (Politis and Romano,
 * 1992): neighbouring tokens are alike, so whole blocks of them are drawn, of several texts first the texts. Seeded.
 *
 * @returns null where the texts have too few tokens to tell.
 */
export function meanInterval(
  texts: readonly ArrayLike<number>[],
  seed: number = SEEDS.bootstrap,
): Interval | null {
  const means = meansOfDraws(texts, seededUniform(seed));
  return means && middle95(means);
}

/** The same of the difference between the means of two texts whose tokens have nothing to do with each other: b - a. */
export function differenceInterval(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  seed: number = SEEDS.bootstrap,
): Interval | null {
  const uniform = seededUniform(seed);
  const [first, second] = [meansOfDraws([a], uniform), meansOfDraws([b], uniform)];
  return first && second && middle95(first.map((mean, draw) => second[draw]! - mean));
}

/** null where the texts have too few tokens to tell. */
function meansOfDraws(texts: readonly ArrayLike<number>[], uniform: () => number): Float64Array | null {
  const filled = texts.filter(({ length }) => length > 0);
  if (filled.length === 0 || filled.some(({ length }) => length < 2 * FEWEST_BLOCKS)) return null;
  const blocks = filled.map(blocksOf);
  const below = (count: number) => Math.floor(uniform() * count);
  return Float64Array.from({ length: DRAWS }, () => {
    let [sum, count] = [0, 0];
    for (let text = 0; text < filled.length; text++) {
      const { length, size, sumFrom } = blocks[filled.length > 1 ? below(filled.length) : 0]!;
      for (let left = length; left > 0; left -= size) sum += sumFrom(below(length), Math.min(left, size));
      count += length;
    }
    return sum / count;
  });
}

function middle95(draws: Float64Array): Interval {
  const sorted = draws.sort();
  const at = (share: number) => sorted[Math.round(share * (DRAWS - 1))]!;
  return { low: at(0.025), high: at(0.975) };
}

/** Sums of neighbours that go on at the beginning where the text ends. */
function blocksOf(values: ArrayLike<number>) {
  const { length } = values;
  const sums = new Float64Array(2 * length + 1);
  for (let t = 0; t < 2 * length; t++) sums[t + 1] = sums[t]! + values[t % length]!;
  const sumFrom = (from: number, size: number) => sums[from + size]! - sums[from]!;
  return { length, size: blockLength(values), sumFrom };
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
  const wanted = Math.min(LONGEST, Math.max(SHORTEST, Math.ceil(4 * time)));
  return Math.min(wanted, Math.floor(length / FEWEST_BLOCKS));
}

/** The changes of each text of an effect. */
export type Changes = Pick<RunEffect, 'perToken' | 'lengths'>;

export function textsOf({ perToken, lengths = [perToken.length] }: Changes): Float32Array[] {
  let at = 0;
  return lengths.map(length => perToken.subarray(at, (at += length)));
}

/** Whether the change `a` is less than `b`, token by token of the same texts (paired). */
export function isLess(a: Changes, b: Changes): Verdict {
  const interval = meanInterval(
    textsOf({ ...a, perToken: a.perToken.map((value, t) => value - b.perToken[t]!) }),
  );
  if (interval && interval.high < -LOSS_ROUNDING) return 'yes';
  return interval && interval.low > LOSS_ROUNDING ? 'no' : 'undecided';
}

/** `yes` where it is less than all others, `no` where one of them is less. */
export function isLeast(change: Changes, others: readonly Changes[]): Verdict {
  const verdicts = others.map(other => isLess(change, other));
  if (verdicts.includes('no')) return 'no';
  return verdicts.includes('undecided') ? 'undecided' : 'yes';
}

/** The few tokens that carry a change: `share` of its sum, on `tokens` of `of` tokens. */
export interface Carriers {
  share: number;
  tokens: number;
  of: number;
}

/** Of so many tokens, those that change most in the direction of the mean are told. */
const CARRIERS = 0.01;

/**
 * What the hundredth of the tokens that change most contributes to a change; null where it is 0. A share above 1 is
 * possible: the other tokens then change the other way.
 */
export function carriersOf(perToken: ArrayLike<number>): Carriers | null {
  const values = Float64Array.from(perToken).sort();
  const sum = values.reduce((total, value) => total + value, 0);
  if (Math.abs(sum) <= LOSS_ROUNDING * values.length) return null;
  const tokens = Math.max(1, Math.round(CARRIERS * values.length));
  const most = sum > 0 ? values.subarray(-tokens) : values.subarray(0, tokens);
  return { share: most.reduce((total, value) => total + value, 0) / sum, tokens, of: values.length };
}
