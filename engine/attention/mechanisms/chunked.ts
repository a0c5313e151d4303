import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendGroups, sequence } from '../kernels/lists';
import type { Mechanism } from '../mechanism';
import { sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import { numberOf } from '../../../shared/setting';

/** The text is cut into chunks, and every token attends within its own: the cheapest local attention, with hard borders. */
export const chunked: Mechanism = {
  info: {
    name: 'chunked',
    title: 'Chunked',
    label: 'chunk',
    hue: '#8c6bb1',
    summary: 'Every token attends to the tokens of its own chunk.',
    paper: 'Liu et al., Generating Wikipedia by Summarizing Long Sequences, 2018 (local attention in blocks)',
    parameters: [
      {
        name: 'chunk',
        type: 'integer',
        default: 128,
        minimum: 1,
        description: 'Length of a chunk in tokens.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The own chunk of `chunk` tokens and nothing else.',
    rule: '⌊i/chunk⌋ = ⌊j/chunk⌋',
    exact:
      'Exact: the softmax over the kept pairs of the model’s own scores. Also the local layers of Llama 4, whose chunks have 8,192 tokens.',
    cost: 'N · chunk / 2 pairs.',
    when: 'Beside a local window of as many pairs: the difference is what the borders cost, since the first tokens of a chunk see next to nothing.',
  },

  examples: [{ chunk: 8 }, { chunk: 1 }, { chunk: 17 }, { chunk: 500 }],
  whole: tokens => [{ chunk: tokens }],

  settings(input, share) {
    const pairs = (chunk: number) => countPairs(input, chunk);
    const chunk = largestWithin(pairsOfShare(input, share), 1, input.keys, pairs);
    return chunk === null ? [] : [{ chunk }];
  },

  rule: (_input, params) => ({ block: numberOf(params, 'chunk') }),

  cost(tokens, params, shape) {
    const chunk = Math.min(tokens, numberOf(params, 'chunk'));
    const size = (length: number) => (shape.causal ? (length * (length + 1)) / 2 : length * length);
    return pairCost(Math.floor(tokens / chunk) * size(chunk) + size(tokens % chunk), shape);
  },

  async attend(input, params, context) {
    const chunk = numberOf(params, 'chunk');
    const shift = input.keys - input.queries;
    const groups = [];
    for (let from = Math.max(0, Math.floor(shift / chunk) * chunk); from < input.keys; from += chunk) {
      const to = Math.min(input.keys, from + chunk);
      groups.push({ queries: sequence(Math.max(0, from - shift), to - shift), keys: sequence(from, to) });
    }
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      pairs[head] = await attendGroups(input, head, groups, () => true, tables(head), outputs, context);
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => sparseRow(input, head, query, ownChunk(input, chunk, query)),
      extra: {},
    };
  },
};

/** The keys of the query's chunk that it sees. */
function ownChunk(input: CoreInput, chunk: number, query: number): { from: number; to: number } {
  const visible = visibleKeys(input, query);
  const first = Math.floor((query + input.keys - input.queries) / chunk) * chunk;
  const from = Math.max(visible.from, first);
  return { from, to: Math.max(from, Math.min(visible.to, first + chunk)) };
}

/** Pairs of one head. */
function countPairs(input: CoreInput, chunk: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = ownChunk(input, chunk, i);
    pairs += to - from;
  }
  return pairs;
}
