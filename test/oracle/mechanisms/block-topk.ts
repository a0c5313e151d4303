import { chosenBlocks, type MaskOracle } from '../edges';

/** Mixture of Block Attention, section 2: blocks by the dot product of the query and their mean key. */
export const oracle: MaskOracle = (input, { block, blocks }) => {
  const { dim, k, q, queries, keys } = input;
  const size = Number(block);
  return chosenBlocks(input, size, Number(blocks), (h, i, b) => {
    const kv = Math.floor((h * input.kvHeads) / input.heads);
    let dot = 0;
    for (let c = 0; c < dim; c++) {
      let mean = 0;
      for (let j = b * size; j < (b + 1) * size; j++) mean += k[(kv * keys + j) * dim + c]!;
      dot += q[(h * queries + i) * dim + c]! * (mean / size);
    }
    return dot;
  });
};
