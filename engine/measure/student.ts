import { deviation } from 'd3-array';
import type { Interval } from '../../shared/protocol/engine';
import { mean } from '../statistics';

/** Quantile 0.975 of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * Quantile 0.975 of Student's t. For one and two degrees in closed form; else by the expansion in 1 / degrees (Abramowitz and
 * Stegun 26.7.5), within 0.005 from three on.
 */
export function studentQuantile(degrees: number): number {
  if (degrees === 1) return Math.tan(Math.PI * 0.475);
  if (degrees === 2) return 0.95 / Math.sqrt(2 * 0.975 * 0.025);
  const z = (power: number) => Z ** power;
  const terms = [
    Z,
    (z(3) + Z) / 4,
    (5 * z(5) + 16 * z(3) + 3 * Z) / 96,
    (3 * z(7) + 19 * z(5) + 17 * z(3) - 15 * Z) / 384,
    (79 * z(9) + 776 * z(7) + 1482 * z(5) - 1920 * z(3) - 945 * Z) / 92160,
  ];
  return terms.reduce((sum, term, power) => sum + term / degrees ** power, 0);
}

/** 95 % interval of the mean of independent draws, given their number, mean and standard deviation; null of fewer than two. */
export function intervalOfMean(count: number, mean: number, deviation: number): Interval | null {
  if (count < 2) return null;
  const half = (studentQuantile(count - 1) * deviation) / Math.sqrt(count);
  return { low: mean - half, high: mean + half };
}

/** The same, given the draws. */
export function studentInterval(values: readonly number[]): Interval | null {
  return intervalOfMean(values.length, mean(values), deviation(values) ?? 0);
}
