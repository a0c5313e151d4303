import { score, type MaskOracle } from '../edges';

/** Memory-efficient Transformers via Top-k Attention, section 2: the k largest scores of each query, the lower position on ties. */
export const oracle: MaskOracle = (input, { k }) => {
  const kept = (h: number, i: number) => {
    const scores = Array.from({ length: input.keys }, (_, j) => score(input, h, i, j));
    const order = [...scores.keys()].filter(j => scores[j]! > -Infinity);
    order.sort((a, b) => scores[b]! - scores[a]! || a - b);
    return new Set(order.slice(0, Number(k)));
  };
  const rows = Array.from({ length: input.heads }, (_, h) =>
    Array.from({ length: input.queries }, (__, i) => kept(h, i)),
  );
  return (h, _p, j, i) => (rows[h]![i]!.has(j) ? 1 : 0);
};
