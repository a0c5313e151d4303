import { bandSize, pairCost } from '../cost';
import { attendOneBand, bandPairs, type Band } from '../kernels/band';
import type { Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import type { MechanismParams } from '../../../shared/protocol/engine';

/** A fixed window of `window` keys: i-window+1 .. i when causal, |i-j| < window otherwise. */
export const local: Mechanism = {
  info: {
    name: 'local',
    title: 'Local window',
    label: 'local',
    hue: '#4e79a7',
    summary: 'Every token attends to the nearest tokens only.',
    paper:
      'Child et al., Generating Long Sequences with Sparse Transformers, 2019, section 4.2 (local attention)',
    parameters: [
      {
        name: 'window',
        type: 'integer',
        default: 128,
        minimum: 1,
        description:
          'Keys from the query back to i-window+1; on both sides (|i-j| < window) when not causal.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The nearest tokens and nothing else.',
    rule: 'causal: j in i-window+1 .. i; both sides: |i-j| < window',
    exact: 'Exact: the softmax over the kept pairs of the model’s own scores.',
    cost: 'N · window pairs.',
    when: 'Most heads of most models: compare `span95` with the window. It loses every head that reaches back (induction, names, brackets).',
  },

  examples: [{ window: 8 }, { window: 1 }, { window: 17 }, { window: 500 }],
  whole: tokens => [{ window: tokens }, { window: 10 * tokens }],

  settings(input, share) {
    const pairs = (window: number) => bandPairs(input, { before: window - 1, after: window - 1 });
    const window = largestWithin(pairsOfShare(input, share), 1, input.keys, pairs);
    return window === null ? [] : [{ window }];
  },

  cost(tokens, params, shape) {
    const { before, after } = bandOf(params);
    return pairCost(bandSize(tokens, before, shape.causal ? 0 : after), shape);
  },

  rule: (_input, params) => ({ near: bandOf(params).before }),

  attend: (input, params, context) => attendOneBand(input, bandOf(params), context),
};

function bandOf(params: MechanismParams): Band {
  const reach = numberOf(params, 'window') - 1;
  return { before: reach, after: reach };
}
