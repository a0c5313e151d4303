import { pairCost } from '../cost';
import { attendSearched } from '../kernels/searchedBlocks';
import type { Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';

/** The heaviest blocks of keys, found from coarse to fine. */
export const blockSearch: Mechanism = {
  info: {
    name: 'block-search',
    title: 'Block search',
    label: 'search',
    hue: '#5aae61',
    pale: true,
    summary: 'Every token attends to what is near and to the far blocks in which a search expects most mass.',
    paper:
      'The idea: Rosser and others, Sparse Tracing, 2025 (arXiv 2510.19875); the search is this tool’s own',
    parameters: [
      {
        name: 'block',
        type: 'integer',
        default: 32,
        minimum: 1,
        description: 'Keys of a block, and queries that search together.',
      },
      {
        name: 'blocks',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Far blocks of each group of queries.',
      },
      {
        name: 'recent',
        type: 'integer',
        default: 4,
        minimum: 0,
        description: 'Blocks before the own one that are always seen.',
      },
    ],
    view: 'map',
    causalSelection: false,
  },

  about: {
    what: 'The own block, the `recent` ones before it, and of the earlier ones the `blocks` in which a group of queries expects most mass.',
    rule: 'expected = min(q · mean + ½ Σ q_c² variance_c, Σ max(q_c · min k_c, q_c · max k_c)); a softmax over blocks gives each query’s shares; blocks rank by their sum over the group plus 4 times their largest; of more than 256 blocks, blocks of 16 are ranked first, and so on',
    exact:
      'Exact for these pairs: the softmax over them of the model’s own scores. A bias of the model and a soft cap play no part in the search.',
    cost: 'N · (blocks + recent + 1) · block pairs, and four products for each query and block that is looked at: at most 256 and 16 · blocks for each level.',
    when: 'Long texts without a dense pass: far keys that stand out are found, and the heads that look at them. A key that its block hides is not.',
  },

  examples: [
    { block: 4, blocks: 2, recent: 1 },
    { block: 3, blocks: 1, recent: 0 },
    { block: 1, blocks: 5, recent: 2 },
    { block: 16, blocks: 2, recent: 1 },
  ],
  whole: tokens => [
    { block: tokens, blocks: 1, recent: 0 },
    { block: 4, blocks: tokens, recent: 1 },
  ],

  causalOnly: true,

  refuses: input =>
    input.rule.mask.causal ? null : 'Blocks before the query are defined for causal attention only.',

  cost(tokens, params, shape) {
    const [block, blocks, recent] = ['block', 'blocks', 'recent'].map(name => numberOf(params, name)) as [number, number, number]; // prettier-ignore
    let pairs = 0;
    for (let position = 0; position < tokens; position++) {
      const before = Math.max(0, Math.floor(position / block) - recent);
      pairs += Math.min(before, blocks) * block + position + 1 - before * block;
    }
    const count = Math.ceil(tokens / block);
    const looked =
      Math.min(count, 256) + 16 * blocks * Math.max(0, Math.ceil(Math.log(count / 256) / Math.log(16)));
    return pairCost(pairs, shape, 'exact', {
      flops: 8 * tokens * looked * shape.dim,
      floats: 4 * count * shape.dim + block * looked,
    });
  },

  attend(input, params, context) {
    const search = {
      block: numberOf(params, 'block'),
      blocks: numberOf(params, 'blocks'),
      recent: numberOf(params, 'recent'),
    };
    return attendSearched(input, search, context);
  },
};
