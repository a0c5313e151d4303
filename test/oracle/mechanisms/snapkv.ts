import { hidden, score, type MaskOracle } from '../edges';

/** SnapKV, listing 1: softmax of the window's rows, summed, pooled, the best kept beside the window. */
export const oracle: MaskOracle = (input, { prompt, capacity, window, kernel, pool }) => {
  const { heads, queries, keys } = input;
  const shift = keys - queries;
  const first = Math.max(0, Number(prompt) - Number(window));
  const kept = Array.from({ length: heads }, (_, h) => {
    const votes = new Array<number>(first).fill(0);
    for (let p = Math.max(first, shift); p < Number(prompt); p++) {
      const scores = Array.from({ length: keys }, (__, j) => score(input, h, p - shift, j));
      const exps = scores.map(s => Math.exp(s - Math.max(...scores)));
      const total = exps.reduce((a, b) => a + b, 0);
      for (let j = 0; j < first; j++) if (!hidden(input, p, j)) votes[j]! += exps[j]! / total;
    }
    const pooled = votes.map((__, j) => {
      const around = Array.from(
        { length: Number(kernel) },
        (___, t) => votes[j - Math.floor(Number(kernel) / 2) + t] ?? 0,
      );
      return pool === 'mean' ? around.reduce((a, b) => a + b, 0) / Number(kernel) : Math.max(...around);
    });
    const order = [...pooled.keys()].sort((a, b) => pooled[b]! - pooled[a]! || a - b);
    return new Set(order.slice(0, Math.max(0, Number(capacity) - (Number(prompt) - first))));
  });
  return (h, p, j) => (p < Number(prompt) || j >= first || kept[h]!.has(j) ? 1 : 0);
};
