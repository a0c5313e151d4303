import type { MaskOracle } from '../edges';

/** Of so few blocks that all are looked at: each group's blocks by what its queries expect of them, in float64. */
export const oracle: MaskOracle = (input, params) => {
  const { heads, kvHeads, queries, keys, dim, q, k } = input;
  const [size, wanted, recent] = ['block', 'blocks', 'recent'].map(name => Number(params[name])) as [number, number, number]; // prettier-ignore
  const position = (i: number) => i + keys - queries;
  const groupOf = (i: number) => Math.floor(position(i) / size);
  const before = (group: number) => Math.max(0, group - recent);

  const expected = (h: number, i: number, b: number): number => {
    const kv = Math.floor((h * kvHeads) / heads);
    let [moments, bound] = [0, 0];
    for (let c = 0; c < dim; c++) {
      const x = q[(h * queries + i) * dim + c]! * input.rule.scale[h]!;
      const inside = Array.from(
        { length: Math.min(size, keys - b * size) },
        (_, t) => k[(kv * keys + b * size + t) * dim + c]!,
      );
      const mean = inside.reduce((a, v) => a + v, 0) / inside.length;
      const variance = inside.reduce((a, v) => a + (v - mean) ** 2, 0) / inside.length;
      moments += x * mean + 0.5 * x * x * variance;
      bound += Math.max(x * Math.min(...inside), x * Math.max(...inside));
    }
    return Math.min(moments, bound);
  };

  const chosen = Array.from({ length: heads }, (_, h) => {
    const ranks = new Map<number, { sum: number[]; most: number[] }>();
    for (let i = 0; i < queries; i++) {
      const group = groupOf(i);
      const open = Array.from({ length: before(group) }, (__, b) => expected(h, i, b));
      const largest = Math.max(...open);
      const weights = open.map(value => Math.exp(value - largest));
      const total = weights.reduce((a, v) => a + v, 0);
      const rank = ranks.get(group) ?? { sum: open.map(() => 0), most: open.map(() => 0) };
      weights.forEach((weight, b) => {
        rank.sum[b]! += weight / total;
        rank.most[b] = Math.max(rank.most[b]!, weight / total);
      });
      ranks.set(group, rank);
    }
    return new Map(
      [...ranks].map(([group, { sum, most }]) => {
        const order = sum.map((value, b) => ({ b, rank: value + 4 * most[b]! }));
        order.sort((x, y) => y.rank - x.rank || x.b - y.b);
        return [group, new Set(order.slice(0, wanted).map(({ b }) => b))];
      }),
    );
  });
  return (h, _p, j, i) => {
    const group = groupOf(i);
    return Math.floor(j / size) >= before(group) || chosen[h]!.get(group)!.has(Math.floor(j / size)) ? 1 : 0;
  };
};
