import { visibleKeys, type CoreInput } from '../../engine/attention/core';

/** Every measure of one head, plainly, from all of its probabilities ([queries][keys]). */
export function oracleMeasures(input: CoreInput, p: Float64Array[], ids: Int32Array) {
  const { queries, keys } = input;
  const position = (i: number) => i + keys - queries;
  const alive = p.map(row => row.some(mass => mass > 0));
  const sees = alive.filter(Boolean).length;
  const mean = (f: (row: Float64Array, i: number) => number) =>
    p.reduce((sum, row, i) => sum + (alive[i] ? f(row, i) : 0), 0) / Math.max(1, sees);
  const massWhere = (row: Float64Array, test: (j: number) => boolean) =>
    row.reduce((sum, mass, j) => sum + (test(j) ? mass : 0), 0);

  const entropy = p.map(row => row.reduce((sum, mass) => sum - (mass > 0 ? mass * Math.log(mass) : 0), 0));
  const byDistance = Array.from({ length: Math.max(keys, queries) }, (_, x) =>
    mean((row, i) => massWhere(row, j => Math.abs(j - position(i)) === x)),
  );
  const repeats = (matches: (i: number, j: number) => boolean) => {
    let mass = 0;
    let count = 0;
    for (let i = 0; i < queries; i++) {
      const { from, to } = visibleKeys(input, i);
      const pairs = Array.from({ length: to - from }, (_, t) => from + t).filter(j =>
        matches(position(i), j),
      );
      if (pairs.length > 0) count++;
      for (const j of pairs) mass += p[i]![j]!;
    }
    return count === 0 ? 0 : mass / count;
  };
  return {
    entropy,
    meanEntropy: mean((_, i) => entropy[i]!),
    meanDistance: byDistance.reduce((sum, mass, x) => sum + mass * x, 0),
    byDistance,
    received: Array.from({ length: keys }, (_, j) => p.reduce((sum, row) => sum + row[j]!, 0)),
    to: {
      self: mean((row, i) => row[position(i)] ?? 0),
      previous: mean((row, i) => row[position(i) - 1] ?? 0),
      next: mean((row, i) => row[position(i) + 1] ?? 0),
      first: mean(row => row[0]!),
    },
    /** Mass within a distance of each query, [distance]. */
    within: p.map((row, i) => {
      const sums = new Float64Array(keys + queries);
      row.forEach((mass, j) => (sums[Math.abs(j - position(i))]! += mass));
      for (let x = 1; x < sums.length; x++) sums[x]! += sums[x - 1]!;
      return sums;
    }),
    duplicate: repeats((i, j) => ids[j] === ids[i] && (input.rule.mask.causal ? j < i : j !== i)),
    induction: repeats((i, j) => j > 0 && j <= i && ids[j - 1] === ids[i]),
    alive,
  };
}
