/**
 * A budget shared out among heads: each takes one of its options, so that the sum of the costs is small and the sum of
 * the pairs within the budget (a multiple-choice knapsack). By Lagrange multiplier over the lower convex hull of each
 * head's options (Everett, Generalized Lagrange Multiplier Method, 1963), then greedily with what is left.
 */
export interface Option {
  pairs: number;
  cost: number;
}

/** Indices of the options that no other beats in both pairs and cost, fewest pairs first. */
export function paretoFront(options: readonly Option[]): number[] {
  const order = options.map((_, at) => at);
  order.sort((a, b) => options[a]!.pairs - options[b]!.pairs || options[a]!.cost - options[b]!.cost);
  const front: number[] = [];
  let least = Infinity;
  for (const at of order) {
    if (!(options[at]!.cost < least)) continue;
    least = options[at]!.cost;
    front.push(at);
  }
  return front;
}

/** The part of the front on its lower convex hull: where a multiplier can stop. */
export function lowerHull(options: readonly Option[]): number[] {
  const hull: number[] = [];
  for (const at of paretoFront(options)) {
    const next = options[at]!;
    while (hull.length >= 2) {
      const [a, b] = [options[hull[hull.length - 2]!]!, options[hull[hull.length - 1]!]!];
      // b stays when it lies below the line from a to the next.
      if ((b.cost - a.cost) * (next.pairs - a.pairs) < (next.cost - a.cost) * (b.pairs - a.pairs)) break;
      hull.pop();
    }
    hull.push(at);
  }
  return hull;
}

/**
 * One option index per head with the pairs within the budget; null when even the cheapest options are above it.
 * Never spends more than the budget. A larger budget never costs more: a step that only the larger one pays for gains more
 * than the smaller one could with all it has left, since steps are taken by what they gain per pair.
 */
export function allocate(heads: readonly (readonly Option[])[], budget: number): number[] | null {
  const hulls = heads.map(lowerHull);
  const chosen = hulls.map(hull => hull[0]!);
  const spent = (choice: readonly number[]) =>
    choice.reduce((sum, at, head) => sum + heads[head]![at]!.pairs, 0);
  if (hulls.some(hull => hull.length === 0) || spent(chosen) > budget) return null;
  // Steps along the hulls in order of what a pair buys: the multiplier falls from step to step.
  const steps = hulls.flatMap((hull, head) =>
    hull.slice(1).map((to, step) => {
      const [before, after] = [heads[head]![hull[step]!]!, heads[head]![to]!];
      return { head, to, pairs: after.pairs - before.pairs, gain: before.cost - after.cost };
    }),
  );
  steps.sort((a, b) => b.gain / b.pairs - a.gain / a.pairs);
  let left = budget - spent(chosen);
  for (const { head, to, pairs } of steps) {
    if (pairs > left) break;
    chosen[head] = to;
    left -= pairs;
  }
  return fill(heads, chosen, left);
}

/** Upgrades heads, best gain per pair first, while what is left pays for any. */
function fill(heads: readonly (readonly Option[])[], chosen: readonly number[], left: number): number[] {
  const result = [...chosen];
  for (;;) {
    let best: { head: number; at: number; rate: number } | null = null;
    for (const [head, options] of heads.entries()) {
      const now = options[result[head]!]!;
      for (const [at, option] of options.entries()) {
        const [pairs, gain] = [option.pairs - now.pairs, now.cost - option.cost];
        if (pairs > left || !(gain > 0)) continue;
        const rate = pairs <= 0 ? Infinity : gain / pairs;
        if (!best || rate > best.rate) best = { head, at, rate };
      }
    }
    if (!best) return result;
    left -= heads[best.head]![best.at]!.pairs - heads[best.head]![result[best.head]!]!.pairs;
    result[best.head] = best.at;
  }
}
