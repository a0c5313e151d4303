import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { denseScores } from '../kernels/lines';
import { attendLists, sequence } from '../kernels/lists';
import { range, sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import type { Mechanism } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { numberOf, numberOrAuto } from '../../../shared/setting';

/** Queries of one block against the keys that any of them sees. */
const ROWS = 64;

/** A prompt that is read densely, and of which only what its last queries look at is kept for the tokens after it. */
export const snapkv: Mechanism = {
  info: {
    name: 'snapkv',
    title: 'SnapKV',
    label: 'snap',
    hue: '#e377c2',
    pale: true,
    summary: 'Tokens after the prompt attend to each other and to what the end of the prompt looked at most.',
    paper:
      'Li et al., SnapKV: LLM Knows What You are Looking for Before Generation, 2024, section 4, listing 1',
    parameters: [
      {
        name: 'prompt',
        type: 'integer',
        default: null,
        defaultRule: 'half of the text',
        minimum: 1,
        description: 'Tokens of the prompt; those after it are taken as generated.',
      },
      {
        name: 'capacity',
        type: 'integer',
        default: 64,
        minimum: 1,
        description: 'Keys of the prompt that are kept, the window among them.',
      },
      {
        name: 'window',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Last queries of the prompt, which vote; their keys are kept.',
      },
      {
        name: 'kernel',
        type: 'integer',
        default: 7,
        minimum: 1,
        description: 'Neighbouring keys whose votes are pooled, so that what surrounds a key stays with it.',
      },
      {
        name: 'pool',
        type: 'string',
        default: 'max',
        choices: ['max', 'mean'],
        description: 'How votes are pooled.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The prompt is read densely. Its last `window` queries vote for the keys before them; the best `capacity` - `window`, and the window, are all that later tokens find of the prompt.',
    rule: 'vote_j = pool(Σ p_tj over the window’s queries t); the largest votes stay, ties: the lower position',
    exact:
      'Exact: one softmax over the kept keys; votes in float64. The paper’s code pools with `max` (7 keys) in its evaluation. Every query head chooses its own keys; grouped queries would have to share them for the cache to shrink as much.',
    cost: 'The prompt’s own pairs, and those of the tokens after it with each other: at least half of the pairs where the prompt is half of the text. What it saves is the cache.',
    when: 'Long prompts with short answers. The map shows what the answer can still see; where its heads look at columns that were dropped, the vote missed what the question would need.',
  },

  examples: [
    { prompt: 24, capacity: 12, window: 4, kernel: 3 },
    { prompt: 30, capacity: 11, window: 5, kernel: 1 },
    { prompt: 33, capacity: 14, window: 6, kernel: 5, pool: 'mean' },
    { prompt: 20, capacity: 9, window: 3, kernel: 4 },
    { prompt: 25, capacity: 4, window: 8 },
  ],
  whole: tokens => [{ prompt: tokens }, { capacity: tokens }],

  causalOnly: true,

  refuses(input, params) {
    if (!input.rule.mask.causal) return 'What comes after a prompt is defined for causal attention only.';
    const shift = input.keys - input.queries;
    return promptOf(input, params) <= shift
      ? 'SnapKV needs queries at the end of the prompt, to vote.'
      : null;
  },

  spendsMore: 'the prompt is read by dense attention',

  settings(input, share) {
    const pairs = (capacity: number) => countPairs(input, promptOf(input, {}), capacity);
    const capacity = largestWithin(pairsOfShare(input, share), 1, input.keys, pairs);
    return capacity === null ? [] : [{ capacity, window: Math.min(16, capacity) }];
  },

  settle: (input, params) => ({ prompt: promptOf(input, params) }),

  cost(tokens, params, shape) {
    const prompt = promptOf({ keys: tokens, queries: tokens }, params);
    const after = tokens - prompt;
    const capacity = keptOf(prompt, params);
    const pairs = (prompt * (prompt + 1)) / 2 + after * capacity + (after * (after + 1)) / 2;
    const votes = Math.min(prompt, numberOf(params, 'window')) * prompt;
    return pairCost(pairs, shape, 'exact', {
      flops: 2 * votes + prompt * numberOf(params, 'kernel'),
      floats: 2 * prompt,
    });
  },

  async attend(input, params, context) {
    const { heads, queries, keys } = input;
    const shift = keys - queries;
    const prompt = promptOf(input, params);
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const pairs = new Float64Array(heads);
    const kept: Int32Array[] = [];
    for (let head = 0; head < heads; head++) {
      await checkpoint(context.signal);
      const own = chosenKeys(input, head, prompt, params);
      kept.push(own);
      for (let from = 0; from < queries;) {
        const inPrompt = from + shift < prompt;
        const to = Math.min(queries, from + ROWS, inPrompt ? prompt - shift : queries);
        const last = visibleKeys(input, to - 1).to;
        const seen = inPrompt
          ? sequence(visibleKeys(input, from).from, last)
          : Int32Array.from([...own, ...range(prompt, last)]);
        const rows = sequence(from, to);
        pairs[head]! += await attendLists(input, head, rows, seen, null, tables(head), outputs, context);
        from = to;
      }
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row(head, query) {
        const visible = visibleKeys(input, query);
        if (query + shift < prompt) return sparseRow(input, head, query, visible);
        return sparseRow(input, head, query, [...kept[head]!, ...range(prompt, visible.to)]);
      },
      extra: {},
    };
  },
};

function promptOf({ keys, queries }: Pick<CoreInput, 'keys' | 'queries'>, params: MechanismParams): number {
  const half = keys - queries + Math.ceil(queries / 2);
  return Math.min(keys, 'prompt' in params ? numberOrAuto(params, 'prompt', half) : half);
}

/** Keys of the prompt that stay: all of a short one; the window always stays. */
function keptOf(prompt: number, params: MechanismParams): number {
  return Math.min(prompt, Math.max(numberOf(params, 'capacity'), numberOf(params, 'window')));
}

/** Ascending. */
function chosenKeys(input: CoreInput, head: number, prompt: number, params: MechanismParams): Int32Array {
  const size = keptOf(prompt, params);
  const window = prompt - Math.min(prompt, numberOf(params, 'window'));
  const votes = new Float64Array(window);
  const shift = input.keys - input.queries;
  for (let i = Math.max(0, window - shift); i + shift < prompt; i++) {
    const { from, scores, lse } = denseScores(input, head, i);
    if (lse === -Infinity) continue;
    for (let key = from; key < Math.min(window, from + scores.length); key++) {
      votes[key]! += Math.exp(scores[key - from]! - lse);
    }
  }
  const pooled = pool(votes, numberOf(params, 'kernel'), params['pool'] === 'mean');
  const order = [...pooled.keys()].sort((a, b) => pooled[b]! - pooled[a]! || a - b);
  const best = order.slice(0, size - (prompt - window)).sort((a, b) => a - b);
  return Int32Array.from([...best, ...range(window, prompt)]);
}

/** Of each vote and those around it the largest, or the mean; beyond the ends there are zeros. */
function pool(votes: Float64Array, kernel: number, mean: boolean): Float64Array {
  const before = Math.floor(kernel / 2);
  return votes.map((_, at) => {
    const near = votes.subarray(Math.max(0, at - before), at - before + kernel);
    return mean ? near.reduce((sum, vote) => sum + vote, 0) / kernel : near.reduce((a, b) => Math.max(a, b));
  });
}

/** Pairs of one head; queries before the prompt's end see all of it. */
function countPairs(input: CoreInput, prompt: number, capacity: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = visibleKeys(input, i);
    const after = Math.max(0, to - Math.max(prompt, from));
    pairs += to <= prompt ? to - from : Math.min(to - from, Math.min(prompt, capacity) + after);
  }
  return pairs;
}
