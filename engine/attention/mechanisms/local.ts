import { bandSize, pairCost } from '../cost';
import { attendBand, bandKeys, bandPairs, type Band } from '../kernels/band';
import type { Mechanism } from '../mechanism';
import { numberOr } from '../parameters';
import { range, sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { Outputs } from '../kernels/tiles';

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

  settings(input, share) {
    const pairs = (window: number) => bandPairs(input, { before: window - 1, after: window - 1 });
    const window = largestWithin(pairsOfShare(input, share), 1, input.keys, pairs);
    return window === null ? [] : [{ window }];
  },

  cost(tokens, params, shape) {
    const reach = numberOr(params, 'window', 128) - 1;
    return pairCost(bandSize(tokens, reach, shape.causal ? 0 : reach), shape);
  },

  async attend(input, params, context) {
    const window = numberOr(params, 'window', 128);
    const band: Band = { before: window - 1, after: window - 1 };
    const outputs = new Outputs(input);
    await attendBand(input, () => band, outputs, context);
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs: new Float64Array(input.heads).fill(bandPairs(input, band)),
      row: (head, query) => {
        const { from, to } = bandKeys(input, band, query);
        return sparseRow(input, head, query, range(from, to));
      },
      extra: {},
    };
  },
};
