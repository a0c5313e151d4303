import type { Interval } from '../../shared/protocol/engine';

/** Quantile 0.975 of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * 95 % interval of a share that was seen in some of a few independent trials, by Wilson's score (Wilson, Probable
 * Inference, the Law of Succession, and Statistical Inference, 1927; recommended for few trials by Brown, Cai and
 * DasGupta, Interval Estimation for a Binomial Proportion, 2001). Of no trials it is all of 0 to 1.
 */
export function shareInterval95(seen: number, trials: number): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const share = seen / trials;
  const square = Z ** 2 / trials;
  const middle = (share + square / 2) / (1 + square);
  const half = Math.sqrt(share * (1 - share) * square + square ** 2 / 4) / (1 + square);
  return { low: seen === 0 ? 0 : middle - half, high: seen === trials ? 1 : middle + half };
}
