import { chosenBlocks, type MaskOracle } from '../edges';

/** Quest, section 3: pages by the sum of max(q min, q max) over the dimensions. */
export const oracle: MaskOracle = (input, { page, pages }) => {
  const { dim, k, q, queries, keys } = input;
  const size = Number(page);
  return chosenBlocks(input, size, Number(pages), (h, i, p) => {
    const kv = Math.floor((h * input.kvHeads) / input.heads);
    let bound = 0;
    for (let c = 0; c < dim; c++) {
      const values = Array.from({ length: size }, (_, t) => k[(kv * keys + p * size + t) * dim + c]!);
      const x = q[(h * queries + i) * dim + c]!;
      bound += Math.max(x * Math.min(...values), x * Math.max(...values));
    }
    return bound;
  });
};
