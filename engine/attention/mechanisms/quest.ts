import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendChosenBlocks, blockSettings, chosenPairs } from '../kernels/chosenBlocks';
import { strideOf, type Summaries } from '../kernels/pairs';
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
        summaries: head => pageBounds(input, head, block),
      },
      context,
    );
  },
};

/** The least and the largest of each dimension of the complete pages: no key of a page has a larger dot product with a query than they allow. */
function pageBounds(input: CoreInput, head: number, page: number): Summaries {
  const { dim, keys, k } = input;
  const from = kvHead(input, head) * keys;
  const count = Math.floor(keys / page);
  const stride = strideOf(count);
  const [first, second] = [new Float64Array(stride * dim), new Float64Array(stride * dim)];
  for (let p = 0; p < count; p++)
    for (let c = 0; c < dim; c++) {
      let [least, most] = [Infinity, -Infinity];
      for (let key = p * page; key < (p + 1) * page; key++) {
        const value = k[(from + key) * dim + c]!;
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
      first[c * stride + p] = least;
      second[c * stride + p] = most;
    }
  return { stride, count, first, second };
}
