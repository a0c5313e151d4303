import { densePairs, type CoreInput } from '../core';
import type { SettingFamily } from '../mechanism';
import type { MechanismParams } from '../../../shared/protocol/engine';

/** How mechanisms find the setting that spends a given share of the dense pairs. */

/** Pairs that a share of the dense ones pays for, per head. */
export function pairsOfShare(input: CoreInput, share: number): number {
  return share * densePairs(input);
}

/** The largest whole number from `low` to `high` whose pairs are within the limit, or null. `pairsOf` must not fall. */
export function largestWithin(
  limit: number,
  low: number,
  high: number,
  pairsOf: (value: number) => number,
): number | null {
  if (high < low || pairsOf(low) > limit) return null;
  let [good, bad] = [low, high + 1];
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (pairsOf(middle) <= limit) good = middle;
    else bad = middle;
  }
  return good;
}

/** Whole numbers from 1 to `high`, each about a tenth more than the one before. */
export function geometric(high: number): number[] {
  const values: number[] = [];
  for (let value = 1; value <= high; value = Math.max(value + 1, Math.round(value * 1.1))) values.push(value);
  return values;
}

/** What each family has for a share. */
export function settingsOf(
  families: readonly SettingFamily[],
  input: CoreInput,
  share: number,
): MechanismParams[] {
  return families.map(family => family(input, share)).filter(params => params !== null);
}
