import { SEEDS, seededUniform } from '../../shared/random';
import type { Interval } from '../../shared/protocol/engine';

/**
 * Block bootstrap (Kunsch, The Jackknife and the Bootstrap for General Stationary Observations, 1989): neighbouring
 * queries are alike, so whole blocks of them are drawn anew, always by the same seeded numbers.
 */
const BLOCKS = 32;
const RESAMPLES = 1000;

/** Sums over at most 32 blocks of neighbouring queries, as equal as can be. `value` of a query may be 0 for "not counted". */
export function blockSums(queries: number, value: (query: number) => number): Float64Array {
  const sums = new Float64Array(Math.min(BLOCKS, queries));
  for (let i = 0; i < queries; i++) sums[Math.floor((i * sums.length) / queries)]! += value(i);
  return sums;
}

/** Sum of `above` over sum of `below` for every draw of blocks; draws of nothing give 0. */
export function resampledRatios(above: Float64Array, below: Float64Array): Float64Array {
  const blocks = above.length;
  const uniform = seededUniform(SEEDS.bootstrap);
  return Float64Array.from({ length: RESAMPLES }, () => {
    let numerator = 0;
    let denominator = 0;
    for (let b = 0; b < blocks; b++) {
      const drawn = Math.floor(uniform() * blocks);
      numerator += above[drawn]!;
      denominator += below[drawn]!;
    }
    return denominator === 0 ? 0 : numerator / denominator;
  });
}

/** The middle 95 % of resampled values. */
export function interval95(resampled: Float64Array): Interval {
  const sorted = resampled.slice().sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return { low: at(0.025), high: at(0.975) };
}

/** Mean of several resamplings, draw by draw: blocks are drawn alike for all of them. */
export function meanResampled(all: readonly Float64Array[]): Float64Array {
  return Float64Array.from({ length: RESAMPLES }, (_, t) => {
    let sum = 0;
    for (const one of all) sum += one[t]!;
    return sum / all.length;
  });
}
