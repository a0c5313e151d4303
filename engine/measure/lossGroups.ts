import type { LossGroup } from '../../shared/protocol/engine';
import { FEWEST_TOKENS } from '../../shared/bootstrap';
import { changeOf, differenceInterval, verdictOf } from '../../shared/uncertainty';

/** Occurrences: never, and by powers of ten. */
export const FREQUENCIES = [0, 1, 10, 100, 1000, 10_000];

/** Tokens before: by powers of two, from the first group on that has enough tokens to tell an interval. */
export const contextsOf = (tokens: number): number[] => {
  const edges = [1];
  for (let edge = 2 * FEWEST_TOKENS; edge <= tokens; edge *= 2) edges.push(edge);
  return edges;
};

/**
 * The losses of a text, and what some changes add to them, in groups of tokens alike in `number`; empty groups are left out.
 *
 * @param edges the least number of each group, ascending
 */
export function lossGroups(
  number: (token: number) => number,
  edges: readonly number[],
  loss: Float32Array,
  changes: readonly Float32Array[],
): LossGroup[] {
  return edges.flatMap((from, at) => {
    const next = edges[at + 1];
    const isIn = (token: number) => number(token) >= from && (next === undefined || number(token) < next);
    const own = (values: Float32Array) => ({ perToken: values.filter((_, token) => isIn(token)) });
    const { perToken } = own(loss);
    if (perToken.length === 0) return [];
    const { delta: mean, low, high } = changeOf({ perToken });
    return [
      {
        ...{ from, to: next === undefined ? null : next - 1, tokens: perToken.length },
        loss: { mean, low, high },
        changes: changes.map(one => changeOf(own(one))),
      },
    ];
  });
}

/** The least context of which no longer one predicts better beyond chance. */
export function effectiveContext(loss: Float32Array, edges: readonly number[]): number | null {
  const groups = edges
    .map((from, at) => ({ from, values: loss.subarray(from - 1, (edges[at + 1] ?? Infinity) - 1) }))
    .filter(({ values }) => values.length >= FEWEST_TOKENS);
  if (groups.length < 2) return null;
  const isBetter = (one: Float32Array, other: Float32Array) =>
    verdictOf(differenceInterval(one, other)!) === 'yes';
  return groups.find(({ values }, at) => !groups.slice(at + 1).some(later => isBetter(values, later.values)))!
    .from;
}
