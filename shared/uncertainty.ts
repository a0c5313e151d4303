import { LOSS_ROUNDING, type RunEffect, type Verdict } from './protocol/plans';
import type { Change } from './protocol/interventions';
import type { Interval } from './protocol/mechanisms';
import { drawnMeans, FEWEST_TOKENS, middle95 } from './bootstrap';
import { SEEDS, seededUniform } from './random';

/** How sure the mean of changes per token is: an interval, and on how few tokens it rests. */

/**
 * 95 % interval of the mean over all tokens of some texts.
 *
 * @returns null where the texts have too few tokens to tell.
 */
export function meanInterval(
  texts: readonly ArrayLike<number>[],
  seed: number = SEEDS.bootstrap,
): Interval | null {
  const filled = texts.filter(({ length }) => length > 0);
  return tells(filled) ? middle95(drawnMeans(filled, seededUniform(seed))) : null;
}

/** The same of the difference between the means of two texts whose tokens have nothing to do with each other: b - a. */
export function differenceInterval(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  seed: number = SEEDS.bootstrap,
): Interval | null {
  if (!tells([a]) || !tells([b])) return null;
  const uniform = seededUniform(seed);
  const [first, second] = [drawnMeans([a], uniform), drawnMeans([b], uniform)];
  return middle95(first.map((mean, at) => second[at]! - mean));
}

const tells = (texts: readonly ArrayLike<number>[]) =>
  texts.length > 0 && texts.every(({ length }) => length >= FEWEST_TOKENS);

/** The changes of each text of an effect. */
export type Changes = Pick<RunEffect, 'perToken' | 'lengths'>;

export function textsOf({ perToken, lengths = [perToken.length] }: Changes): Float32Array[] {
  let at = 0;
  return lengths.map(length => perToken.subarray(at, (at += length)));
}

/** The mean of changes with its interval; of too few tokens that is no bound at all. */
export function changeOf(changes: Changes): Change {
  const { perToken } = changes;
  const delta = perToken.reduce((sum, value) => sum + value, 0) / Math.max(1, perToken.length);
  return { delta, ...(meanInterval(textsOf(changes)) ?? { low: -Infinity, high: Infinity }) };
}

/** How much more `a` changes than `b`, token by token of the same texts (paired). */
export function differenceOf(a: Changes, b: Changes): Change {
  return changeOf({ ...a, perToken: a.perToken.map((value, t) => value - b.perToken[t]!) });
}

/** Whether the change `a` is less than `b`. */
export function isLess(a: Changes, b: Changes): Verdict {
  return verdictOf(differenceOf(a, b));
}

/** Whether a difference is below 0. */
export function verdictOf({ low, high }: Interval): Verdict {
  if (high < -LOSS_ROUNDING) return 'yes';
  return low > LOSS_ROUNDING ? 'no' : 'undecided';
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
