import type { ProbedRule } from './probe';

/** At most so many rows by the constants of a chain. */
const BY_CONSTANTS = 64;
const AT_RANDOM = 16;

/**
 * Rows at which a rule of positions may change: the first and last, powers of two, multiples of the chain's own constants
 * and the borders of the rule, each with its neighbours, and some at random. `share` of all rows at least.
 */
export function rowsToCheck(
  queries: number,
  constants: readonly number[],
  borders: readonly number[],
  seed: number,
  share: number,
): Int32Array {
  const wanted = Math.ceil(share * queries);
  if (wanted >= queries) return Int32Array.from({ length: queries }, (_, i) => i);
  const rows = new Set<number>();
  const around = (at: number) => {
    for (const row of [Math.floor(at) - 1, Math.floor(at), Math.ceil(at), Math.ceil(at) + 1])
      if (row >= 0 && row < queries) rows.add(row);
  };
  for (const row of [0, queries - 1]) around(row);
  for (let power = 1; power < queries; power *= 2) around(power);
  for (const border of borders) around(border);
  const useful = [...new Set(constants)].filter(c => c >= 2 && c < queries).sort((a, b) => b - a);
  for (const constant of useful) {
    const times = Math.floor(queries / constant);
    const stride = Math.max(1, Math.ceil((times * useful.length) / BY_CONSTANTS));
    for (let k = 1; k <= times; k += stride) around(k * constant);
    around(times * constant);
  }
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * queries);
  };
  for (let i = 0; i < AT_RANDOM; i++) rows.add(random());
  while (rows.size < Math.min(wanted, queries)) rows.add(random());
  return Int32Array.from(rows).sort();
}

/** Distances at which a rule changes. */
export function bordersOf(rule: ProbedRule): number[] {
  const { window } = rule.mask;
  const borders = window ? [window.before, window.after] : [];
  if (rule.bias?.kind === 'relative') borders.push(-rule.bias.first, rule.bias.size + rule.bias.first);
  return borders.filter(b => Number.isFinite(b) && b < Number.MAX_SAFE_INTEGER);
}
