import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendChosenBlocks, blockSettings, chosenPairs } from '../kernels/chosenBlocks';
import type { Mechanism } from '../mechanism';
import { pairsOfShare } from '../kernels/shares';
import { numberOf } from '../../../shared/setting';

/** Pages of a cache chosen by a bound on their best score, from the least and the largest value of each dimension. */
export const quest: Mechanism = {
  info: {
    name: 'quest',
    title: 'Quest',
    label: 'pages',
    hue: '#c994c7',
    summary: 'Every token attends to its own page and to the earlier pages that may hold the largest scores.',
    paper:
      'Tang et al., Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference, 2024, section 3',
    parameters: [
      {
        name: 'page',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Length of a page in tokens.',
      },
      {
        name: 'pages',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Pages of each query, its own among them.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The own page, and the `pages` - 1 complete pages before it with the largest bound on the score of any of their keys.',
    rule: 'bound = Σ max(q_c · min k_c, q_c · max k_c) over the dimensions c; ties: the lower page',
    exact:
      'Exact for these pairs: the softmax over them of the model’s own scores. The paper leaves the first two layers dense and chooses for the tokens that are generated; here every token chooses.',
    cost: 'N · page · pages pairs, and two products for each query and page.',
    when: 'Heads with single sharp keys: the bound finds their page where a mean would not. Pages whose dimensions spread widely look better than they are.',
  },

  examples: [
    { page: 4, pages: 3 },
    { page: 7, pages: 1 },
    { page: 1, pages: 5 },
    { page: 16, pages: 2 },
  ],
  whole: tokens => [
    { page: tokens, pages: 1 },
    { page: 4, pages: tokens },
  ],

  causalOnly: true,

  refuses: input =>
    input.rule.mask.causal ? null : 'Pages before the query are defined for causal attention only.',

  settings: (input, share) =>
    blockSettings(input, pairsOfShare(input, share), [16, 64]).map(({ block, blocks }) => ({
      page: block,
      pages: blocks,
    })),

  cost(tokens, params, shape) {
    const [page, pages] = [numberOf(params, 'page'), numberOf(params, 'pages')];
    const count = Math.ceil(tokens / page);
    return pairCost(chosenPairs(tokens, page, pages), shape, 'exact', {
      flops: 2 * tokens * shape.dim + 4 * tokens * count * shape.dim,
      floats: 2 * count * shape.dim + tokens * count,
    });
  },

  attend(input, params, context) {
    const block = numberOf(params, 'page');
    return attendChosenBlocks(
      input,
      {
        block,
        blocks: numberOf(params, 'pages'),
        scores: head => bounds(input, head, block),
      },
      context,
    );
  },
};

/** No key of a page has a larger dot product with the query than this. */
function bounds(input: CoreInput, head: number, page: number): (query: number, into: Float64Array) => void {
  const { dim, keys, queries, k, q } = input;
  const kv = kvHead(input, head);
  const least = new Float64Array(Math.floor(keys / page) * dim).fill(Infinity);
  const most = new Float64Array(least.length).fill(-Infinity);
  for (let t = 0; t < least.length; t++) {
    const [p, c] = [Math.floor(t / dim), t % dim];
    for (let key = p * page; key < (p + 1) * page; key++) {
      const value = k[(kv * keys + key) * dim + c]!;
      least[t] = Math.min(least[t]!, value);
      most[t] = Math.max(most[t]!, value);
    }
  }
  return (query, into) => {
    const own = q.subarray((head * queries + query) * dim, (head * queries + query + 1) * dim);
    for (let p = 0, at = 0; p < into.length; p++) {
      let bound = 0;
      for (let c = 0; c < dim; c++, at++) bound += Math.max(own[c]! * least[at]!, own[c]! * most[at]!);
      into[p] = bound;
    }
  };
}
