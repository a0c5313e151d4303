import { densePairs, visibleKeys } from '../core';
import { pairCost, visiblePairs } from '../cost';
import { denseCore } from '../kernels/dense';
import type { Mechanism } from '../mechanism';
import { sparseRow } from '../kernels/rows';

/** Full attention, as the model was trained: every key that its mask shows. The measure of all others. */
export const dense: Mechanism = {
  info: {
    name: 'dense',
    title: 'Dense',
    label: 'dense',
    hue: null,
    summary: 'Every token attends to every token that the model lets it see.',
    paper: 'Vaswani et al., Attention Is All You Need, 2017, section 3.2',
    parameters: [],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'Softmax attention over all that the mask shows: the measure of all others. Computed in blocks of queries, so memory grows with the text and not with its square.',
    rule: 'P = softmax(Q Kᵀ scale + bias), O = P V',
    exact: 'Exact. It is what the proof compares with the uncut model.',
    cost: 'N² / 2 pairs.',
    when: 'Always there. Its log-sum-exp per query is what recall is told from.',
  },

  examples: [{}],
  whole: () => [{}],

  cost: (tokens, _params, shape) => pairCost(visiblePairs(tokens, shape.causal), shape),

  async attend(input, _params, context) {
    const { output, lse } = await denseCore(input, context);
    return {
      output,
      lse,
      pairs: new Float64Array(input.heads).fill(densePairs(input)),
      row: (head, query) => sparseRow(input, head, query, visibleKeys(input, query)),
      extra: {},
    };
  },
};
