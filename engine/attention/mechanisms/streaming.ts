import { attendBand, bandKeys, bandPairs, type Band } from '../kernels/band';
import { visibleKeys, type CoreInput } from '../core';
import { bandSize, pairCost } from '../cost';
import { attendLists, sequence } from '../kernels/lists';
import type { Mechanism } from '../mechanism';
import { range, sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { numberOf } from '../../../shared/setting';

/** A window, and the first tokens of the text, where models put the attention that they have no use for. */
export const streaming: Mechanism = {
  info: {
    name: 'streaming',
    title: 'Streaming',
    label: 'sinks',
    hue: '#b6cf3c',
    pale: true,
    summary: 'Every token attends to the nearest tokens and to the first ones of the text (attention sinks).',
    paper: 'Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2023, section 3',
    parameters: [
      {
        name: 'sinks',
        type: 'integer',
        default: 4,
        minimum: 0,
        description: 'Tokens at the start of the text that every later one sees.',
      },
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
    what: 'The nearest tokens, and the first `sinks` of the text, which take up the attention that a head has no use for.',
    rule: 'j < sinks, or j in i-window+1 .. i (both sides: |i-j| < window)',
    exact:
      'Exact: the softmax over the kept pairs of the model’s own scores. The paper also moves positions together, as its cache does; here every token stays where it is.',
    cost: 'N · (sinks + window) pairs.',
    when: 'Causal models whose first token collects attention (most of them): what a local window loses there comes back for a few pairs. What MInference and DuoAttention call streaming.',
  },

  examples: [
    { sinks: 2, window: 8 },
    { sinks: 4, window: 1 },
    { sinks: 0, window: 12 },
    { sinks: 50, window: 5 },
  ],
  whole: tokens => [
    { sinks: 0, window: tokens },
    { sinks: tokens, window: 1 },
  ],

  settings(input, share) {
    const limit = pairsOfShare(input, share);
    return [1, 4, 16].flatMap(least => {
      const window = largestWithin(limit, 1, input.keys, size => countPairs(input, least, size));
      if (window === null) return [];
      // What a further step of the window would overspend may still pay for more sinks.
      const sinks = largestWithin(limit, least, input.keys, count => countPairs(input, count, window));
      return [{ sinks: sinks ?? least, window }];
    });
  },

  rule: (_input, params) => ({
    any: [{ first: numberOf(params, 'sinks') }, { near: bandOf(params).before }],
  }),

  cost(tokens, params, shape) {
    const { before: reach } = bandOf(params);
    let pairs = bandSize(tokens, reach, shape.causal ? 0 : reach);
    for (let key = 0; key < Math.min(numberOf(params, 'sinks'), tokens); key++) {
      pairs += Math.max(0, tokens - 1 - key - reach);
      if (!shape.causal) pairs += Math.max(0, key - reach);
    }
    return pairCost(pairs, shape);
  },

  async attend(input, params, context) {
    const band = bandOf(params);
    const sinks = sequence(0, Math.min(numberOf(params, 'sinks'), input.keys));
    const queries = sequence(0, input.queries);
    const outside = (position: number, key: number) => Math.abs(position - key) > band.before;
    const outputs = new Outputs(input);
    await attendBand(input, () => band, outputs, context);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads).fill(bandPairs(input, band));
    for (let head = 0; head < input.heads; head++) {
      pairs[head]! += await attendLists(input, head, queries, sinks, outside, tables(head), outputs, context);
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => {
        const near = bandKeys(input, band, query);
        const keys = function* (): Generator<number> {
          yield* range(0, Math.min(sinks.length, near.from));
          yield* range(near.from, near.to);
          yield* range(near.to, sinks.length);
        };
        return sparseRow(input, head, query, keys());
      },
      extra: {},
    };
  },
};

function bandOf(params: MechanismParams): Band {
  const reach = numberOf(params, 'window') - 1;
  return { before: reach, after: reach };
}

/** Pairs of one head. */
function countPairs(input: CoreInput, sinks: number, window: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = visibleKeys(input, i);
    const near = bandKeys(input, { before: window - 1, after: window - 1 }, i);
    pairs += near.to - near.from + Math.max(0, Math.min(sinks, near.from) - from);
    pairs += Math.max(0, Math.min(sinks, to) - Math.max(near.to, from));
  }
  return pairs;
}
