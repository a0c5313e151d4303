import { keysOfText, visibleStretches, type CoreInput } from '../attention/core';
import type { HeadProfile, Role, RoleScore } from '../../shared/protocol/engine';

/**
 * Roles of heads after Clark et al., What Does BERT Look At? (2019): mean mass on a class of keys. Their marks are 0.5
 * for next and previous, 0.6 for special tokens and punctuation, and entropy above 3.8 nats at up to 128 tokens
 * (3.8 / ln 128 = 0.78). Repeats: Olsson et al. (2022). A role must also be earned against chance: a head that
 * spreads evenly over a short text would otherwise be "local" and a text of commas would make every head
 * "punctuation", so the score must be at least twice what even attention over the visible keys would give.
 */
const ROLE_THRESHOLDS: Record<Role, number> = {
  self: 0.5,
  previous: 0.5,
  next: 0.5,
  offset: 0.5,
  first: 0.6,
  separator: 0.6,
  punctuation: 0.5,
  duplicate: 0.35,
  induction: 0.35,
  local: 0.8,
  broad: 0.8,
};
const TIMES_CHANCE = 2;

/** Distances that count as local. */
export const LOCAL_REACH = 16;

/** Fewer queries with an earlier occurrence than this say nothing about repeats. */
export const FEWEST_REPEATS = 8;

export type Chance = Partial<Record<Role, number>>;

/** What even attention over the visible keys would give, mean over queries that see anything. */
export function chanceOf(input: CoreInput, separator: Uint8Array, punctuation: Uint8Array): Chance {
  const sums = { self: 0, previous: 0, next: 0, first: 0, separator: 0, punctuation: 0, local: 0 };
  const separators = runningSum(separator, input.keys);
  const punctuations = runningSum(punctuation, input.keys);
  let sees = 0;
  for (let i = 0; i < input.queries; i++) {
    const open = visibleStretches(input, i);
    if (open.length === 0) continue;
    sees++;
    const position = i + input.keys - input.queries;
    const each = 1 / open.reduce((sum, { from, to }) => sum + to - from, 0);
    const has = (key: number) => (open.some(({ from, to }) => key >= from && key < to) ? each : 0);
    const share = (marks: ArrayLike<number>) =>
      open.reduce((sum, { from, to }) => sum + marks[to]! - marks[from]!, 0) * each;
    sums.self += has(position);
    sums.previous += has(position - 1);
    sums.next += has(position + 1);
    sums.first += has(0);
    sums.separator += share(separators);
    sums.punctuation += share(punctuations);
    // Against the whole text: a window that the model leaves a head makes it no less local.
    const all = keysOfText(input, i);
    const near = Math.min(all, position + LOCAL_REACH + 1) - Math.max(0, position - LOCAL_REACH);
    sums.local += Math.max(0, near) / all;
  }
  if (sees === 0) return {};
  return Object.fromEntries(Object.entries(sums).map(([role, sum]) => [role, sum / sees]));
}

/** A fixed distance is told only of offsets that at least so many queries, and this part of them, have a key at. */
const FEWEST_AT_OFFSET = 32;
const PART_AT_OFFSET = 1 / 4;

/** The offset, other than self and neighbours, with the most mass of the queries that have a key there. */
export function offsetScore(
  input: CoreInput,
  massAt: (offset: number) => number,
): { score: number; chance: number; offset: number } | null {
  const { keys, queries, rule } = input;
  const first = keys - queries;
  let best: { score: number; offset: number; from: number; to: number } | null = null;
  for (let offset = 1 - keys; offset < queries; offset++) {
    if (Math.abs(offset) < 2 || (rule.mask.causal && offset > 0)) continue;
    // Queries whose key at this offset is in the text.
    const from = Math.max(0, -offset - first);
    const to = Math.min(queries, keys - offset - first);
    if (to - from < Math.max(FEWEST_AT_OFFSET, PART_AT_OFFSET * queries)) continue;
    const score = massAt(offset) / (to - from);
    if (!best || score > best.score) best = { score, offset, from, to };
  }
  if (!best) return null;
  let chance = 0;
  for (let i = best.from; i < best.to; i++) chance += 1 / keysOfText(input, i);
  return { score: best.score, chance: chance / (best.to - best.from), offset: best.offset };
}

const NEIGHBOURS: readonly Role[] = ['self', 'previous', 'next'];
const OF_REPEATS: readonly Role[] = ['duplicate', 'induction'];

/**
 * The roles a head earns, best first. `scores`: mass by role; absent = the role does not apply here. What says more leaves
 * out what follows from it: a head of one neighbour is always local too, and where a text repeats itself at a fixed distance
 * a head of repeats looks at that distance.
 */
export function rolesOf(scores: Chance, chance: Chance, offset = 0): RoleScore[] {
  const earned = Object.entries(scores)
    .map(([role, score]) => ({ role: role as Role, score }))
    .filter(
      ({ role, score }) => score >= ROLE_THRESHOLDS[role] && score >= TIMES_CHANCE * (chance[role] ?? 0),
    );
  const has = (roles: readonly Role[]) => earned.some(({ role }) => roles.includes(role));
  const more: Partial<Record<Role, boolean>> = {
    local: has(NEIGHBOURS) || has(['offset']),
    offset: has(OF_REPEATS),
  };
  return earned
    .filter(({ role }) => !more[role])
    .sort((a, b) => b.score - a.score)
    .map(one =>
      one.role === 'offset'
        ? { ...one, distance: Math.abs(offset), ...(offset > 0 && { ahead: true }) }
        : one,
    );
}

/** Scores of the roles that are plain targets. */
export function targetScores(to: HeadProfile['to'], relativePositions: boolean): Chance {
  const { first, separator, punctuation, ...byPosition } = to;
  return { first, separator, punctuation, ...(relativePositions ? byPosition : {}) };
}

function runningSum(marks: Uint8Array, length: number): Int32Array {
  const sums = new Int32Array(length + 1);
  for (let j = 0; j < length; j++) sums[j + 1] = sums[j]! + (marks[j] ?? 0);
  return sums;
}
