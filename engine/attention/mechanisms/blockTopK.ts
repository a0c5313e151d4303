import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendChosenBlocks, blockSettings, chosenPairs } from '../kernels/chosenBlocks';
import { strideOf, type Summaries } from '../kernels/pairs';
import type { Mechanism } from '../mechanism';
import { pairsOfShare } from '../kernels/shares';
import { numberOf } from '../../../shared/setting';

/** Whole blocks chosen by their mean key, as mixtures of block attention do. The block that the query stands in is always there. */
export const blockTopK: Mechanism = {
  info: {
    name: 'block-topk',
    title: 'Block top-k',
    label: 'blocks',
    hue: '#5aae61',
    summary: 'Every token attends to its own block and to the earlier blocks whose mean key suits it best.',
    paper: 'Lu et al., MoBA: Mixture of Block Attention for Long-Context LLMs, 2025, section 2',
    parameters: [
      {
        name: 'block',
        type: 'integer',
        default: 64,
        minimum: 1,
        description: 'Length of a block in tokens.',
      },
      {
        name: 'blocks',
        type: 'integer',
        default: 4,
        minimum: 1,
        description: 'Blocks of each query, its own among them.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The own block, and the `blocks` - 1 complete blocks before it whose mean key has the largest dot product with the query.',
    rule: 'b = ⌊i/block⌋, and the best of q·k̄(b) over the blocks before it; ties: the lower block',
    exact:
      'Exact for these pairs: the softmax over them of the model’s own scores. Models of the paper are trained with the choice; here it meets keys that were not made to be averaged.',
    cost: 'N · block · blocks pairs, and a product for each query and block.',
    when: 'What can be read in whole blocks, as kernels like it. Against top-k at as many pairs it tells what choosing by means loses: a single sharp key drowns in its block.',
  },

  examples: [
    { block: 4, blocks: 3 },
    { block: 7, blocks: 1 },
    { block: 1, blocks: 5 },
    { block: 16, blocks: 2 },
  ],
  whole: tokens => [
    { block: tokens, blocks: 1 },
    { block: 4, blocks: tokens },
  ],

  causalOnly: true,

  refuses: input =>
    input.rule.mask.causal ? null : 'Blocks before the query are defined for causal attention only.',

  settings: (input, share) => blockSettings(input, pairsOfShare(input, share), [16, 64]),

  cost(tokens, params, { dim, ...shape }) {
    const [block, blocks] = [numberOf(params, 'block'), numberOf(params, 'blocks')];
    const count = Math.ceil(tokens / block);
    return pairCost(chosenPairs(tokens, block, blocks), { dim, ...shape }, 'exact', {
      flops: tokens * dim + tokens * count * dim,
      floats: tokens * count,
    });
  },

  attend(input, params, context) {
    const block = numberOf(params, 'block');
    return attendChosenBlocks(
      input,
      {
        block,
        blocks: numberOf(params, 'blocks'),
        summaries: head => meanKeys(input, head, block),
      },
      context,
    );
  },
};

/** The mean keys of the complete blocks. */
function meanKeys(input: CoreInput, head: number, block: number): Summaries {
  const { dim, keys, k } = input;
  const first = kvHead(input, head) * keys;
  const count = Math.floor(keys / block);
  const stride = strideOf(count);
  const means = new Float64Array(stride * dim);
  for (let b = 0; b < count; b++)
    for (let c = 0; c < dim; c++) {
      let mean = 0;
      for (let key = b * block; key < (b + 1) * block; key++) mean += k[(first + key) * dim + c]! / block;
      means[c * stride + b] = mean;
    }
  return { stride, count, first: means };
}
