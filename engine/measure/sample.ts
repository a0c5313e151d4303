/** Figures of a long text from the exact rows of some queries, drawn at random all over it. */
import { mean } from '../statistics';
import type { Estimate } from '../../shared/protocol/sampled';
import { seededUniform } from '../../shared/random';
import { studentInterval } from './student';

/** Places of the sample, and neighbouring queries at each: two places for each row of a thumbnail. */
const PLACES = 96;
const ROWS = 2;

export interface RowRange {
  from: number;
  rows: number;
}

/** One place in each of as many equal parts of the queries; null = so few that all are taken. */
export function sampledRows(queries: number, seed: number): RowRange[] | null {
  const groups = Math.ceil(queries / ROWS);
  if (groups <= PLACES) return null;
  const uniform = seededUniform(seed);
  return Array.from({ length: PLACES }, (_, place) => {
    const first = Math.floor((place * groups) / PLACES);
    const next = Math.floor(((place + 1) * groups) / PLACES);
    const from = ROWS * (first + Math.floor(uniform() * (next - first)));
    return { from, rows: Math.min(ROWS, queries - from) };
  });
}

/** All queries, in the same groups. */
export function allRows(queries: number): RowRange[] {
  return Array.from({ length: Math.ceil(queries / ROWS) }, (_, group) => ({
    from: ROWS * group,
    rows: Math.min(ROWS, queries - ROWS * group),
  }));
}

/** The mean of `value` over the queries of each place; NaN is left out. */
export function perPlace(places: readonly RowRange[], value: (query: number) => number): number[] {
  return places.map(({ from, rows }) => {
    const values = Array.from({ length: rows }, (_, r) => value(from + r)).filter(one => !Number.isNaN(one));
    return values.length === 0 ? NaN : mean(values)!;
  });
}

/**
 * The mean over the text from means at places. `bounded`: none is above 1; then the interval allows for queries worse than any
 * that was drawn, since none of n draws shows what up to 1 - 0.05^(1/n) of the text does (at 95 %).
 * `all`: the places are the whole text.
 */
export function estimate(
  means: readonly number[],
  { all, bounded = false }: { all: boolean; bounded?: boolean },
): Estimate {
  const values = means.filter(value => !Number.isNaN(value));
  const middle = mean(values);
  const interval = all ? null : studentInterval(values);
  if (all || !interval) return { mean: middle, low: middle, high: all ? middle : bounded ? 1 : Infinity };
  const low = Math.max(0, interval.low);
  if (!bounded) return { mean: middle, low, high: interval.high };
  const unseen = (1 - 0.05 ** (1 / values.length)) * (1 - Math.max(...values));
  return { mean: middle, low, high: Math.min(1, interval.high + unseen) };
}
