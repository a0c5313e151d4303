import { hidden, score, type MaskOracle } from '../edges';

/** H2O, section 4, algorithm 1: after each query the key of the least accumulated probability is evicted. */
export const oracle: MaskOracle = (input, { recent, heavy }) => {
  const { heads, queries, keys } = input;
  const seen = Array.from({ length: heads }, (_, h) => {
    const evicted = new Set<number>();
    const sums = new Map<number, number>();
    return Array.from({ length: queries }, (__, i) => {
      const p = i + keys - queries;
      const cache = Array.from({ length: keys }, (___, j) => j).filter(
        j => j <= p && !evicted.has(j) && !hidden(input, p, j),
      );
      const scores = cache.map(j => score(input, h, i, j));
      const top = Math.max(...scores);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      if (top > -Infinity)
        cache.forEach((j, t) => sums.set(j, (sums.get(j) ?? 0) + Math.exp(scores[t]! - top) / total));
      const left = cache.slice();
      while (left.length > Number(recent) + Number(heavy)) {
        const old = left.filter(j => j <= p - Number(recent));
        const [worst] = old.sort((a, b) => (sums.get(a) ?? 0) - (sums.get(b) ?? 0) || a - b);
        evicted.add(worst!);
        left.splice(left.indexOf(worst!), 1);
      }
      return new Set(cache);
    });
  });
  return (h, _p, j, i) => (seen[h]![i]!.has(j) ? 1 : 0);
};
