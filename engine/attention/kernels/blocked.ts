import {
  closedKeys,
  visibleKeys,
  type BlockedPairs,
  type CoreInput,
  type ScoreRule,
  type Stretch,
} from '../core';

/**
 * Attention knock-out: pairs taken out of the map before the softmax, so that what is left of a row is renormalised
 * (Geva et al. 2023, "Dissecting Recall of Factual Associations", section 3). Kept as rectangles of queries and keys and
 * written into the masks of single blocks: nothing grows with the square of the text.
 */

/** Keys that the mask shows a query and nothing blocks, as ascending stretches without overlap. */
export function openStretches(input: CoreInput, head: number, query: number): Stretch[] {
  const visible = visibleKeys(input, query);
  if (visible.from === visible.to) return [];
  const { blocked = [], mask } = input.rule;
  if (blocked.length === 0 && !mask.streaming) return [visible];
  const taken = blocked.filter(pairs => concerns(pairs, head, query)).map(({ keys }) => keys);
  const closed = [...taken, ...closedKeys(input, query)].sort((a, b) => a.from - b.from);
  const open: Stretch[] = [];
  let from = visible.from;
  for (const keys of closed) {
    const to = Math.min(keys.from, visible.to);
    if (to > from) open.push({ from, to });
    from = Math.max(from, keys.to);
  }
  if (visible.to > from) open.push({ from, to: visible.to });
  return open;
}

/** Whether a key that `visibleKeys` holds is hidden all the same. */
export function isBlocked(input: CoreInput, head: number, query: number, key: number): boolean {
  const { blocked, mask } = input.rule;
  // Asked of every pair: nothing is made where nothing is hidden.
  if (mask.streaming && closedKeys(input, query).some(keys => holds(keys, key))) return true;
  if (!blocked) return false;
  for (const pairs of blocked) if (holds(pairs.keys, key) && concerns(pairs, head, query)) return true;
  return false;
}

function holds({ from, to }: Stretch, key: number): boolean {
  return key >= from && key < to;
}

/** Whether a pair's score depends on more than the offset of its key, so that tiles cannot share one mask. */
export function dependsOnPair(rule: ScoreRule): boolean {
  return rule.bias?.kind === 'opaque' || hidesByPlace(rule);
}

/** Whether keys are hidden for more than their offset. */
export function hidesByPlace({ mask, blocked }: ScoreRule): boolean {
  return mask.chunk !== undefined || mask.streaming !== undefined || (blocked?.length ?? 0) > 0;
}

/** The same for some of the heads, in the given order. */
export function blockedOf(
  blocked: readonly BlockedPairs[],
  heads: readonly number[],
): readonly BlockedPairs[] | undefined {
  const found = blocked.flatMap(pairs =>
    pairs.head === null
      ? [pairs]
      : heads.flatMap((head, at) => (head === pairs.head ? [{ ...pairs, head: at }] : [])),
  );
  return found.length > 0 ? found : undefined;
}

function concerns({ head, queries }: BlockedPairs, h: number, query: number): boolean {
  return (head === null || head === h) && (queries === null || (query >= queries.from && query < queries.to));
}
