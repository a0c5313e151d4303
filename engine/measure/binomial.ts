import type { Interval } from '../../shared/protocol/engine';

/** Chance beyond either end of an interval. */
const BEYOND = 0.025;
/** Halvings after which an end is known to the last bit. */
const HALVINGS = 60;
/** Terms that are smaller than the sum by this no longer count. */
const NEGLIGIBLE = 1e-17;

/**
 * 95 % interval of a share that was seen in some of a few independent trials, exact: beyond its ends, what was seen has a chance of less
 * than 2.5 % (Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, 1934). Of no
 * trials it is all of 0 to 1.
 */
export function shareInterval95(seen: number, trials: number): Interval {
  return { low: lowEnd(seen, trials), high: 1 - lowEnd(trials - seen, trials) };
}

/** The share of which so many or more are seen with a chance of 2.5 %; `waysToSee` is the logarithm of a binomial coefficient. */
function lowEnd(seen: number, trials: number): number {
  if (seen === 0) return 0;
  const fewer = Math.min(seen, trials - seen);
  let waysToSee = 0;
  for (let one = 1; one <= fewer; one++) waysToSee += Math.log((trials - fewer + one) / one);
  let [low, high] = [0, seen / trials];
  for (let halving = 0; halving < HALVINGS; halving++) {
    const share = (low + high) / 2;
    if (chanceOfMore(seen, trials, share, waysToSee) < BEYOND) low = share;
    else high = share;
  }
  return low;
}

/** Of so many or more, of a share of at most what was seen: from there on terms only fall. */
function chanceOfMore(seen: number, trials: number, share: number, waysToSee: number): number {
  const odds = share / (1 - share);
  let term = Math.exp(waysToSee + seen * Math.log(share) + (trials - seen) * Math.log1p(-share));
  let sum = 0;
  for (let count = seen; count <= trials && term > NEGLIGIBLE * sum; count++) {
    sum += term;
    term *= (odds * (trials - count)) / (count + 1);
  }
  return sum;
}
