import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { KeyCache } from '../kernels/keyCache';
import { range, sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import type { Mechanism } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { numberOf } from '../../../shared/setting';

/** A cache of limited size, from which the key that was attended to least goes: what a later query may still see. */
export const h2o: Mechanism = {
  info: {
    name: 'h2o',
    title: 'Heavy hitters (H2O)',
    label: 'H2O',
    hue: '#e377c2',
    summary: 'Every token attends to the last tokens and to those that were attended to most so far.',
    paper:
      'Zhang et al., H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models, 2023, section 4',
    parameters: [
      {
        name: 'recent',
        type: 'integer',
        default: 64,
        minimum: 0,
        description: 'Last positions that are never evicted.',
      },
      {
        name: 'heavy',
        type: 'integer',
        default: 64,
        minimum: 0,
        description: 'Keys held beside them, those of the largest sums.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'A cache of `recent` + `heavy` keys. Every query adds its probabilities to the keys it finds; then the key of the least sum, the last `recent` positions aside, is evicted for good.',
    rule: 'evict argmin over j <= i - recent of Σ p_tj, t <= i; ties: the lower position',
    exact:
      'Exact, and the same on every device: queries one after the other, sums in float64. The query of a new key still finds the key that it will push out, so it sees one key more than stay.',
    cost: 'N · (recent + heavy + 1) pairs, one query after the other; the cache never holds more keys.',
    when: 'Generation under a limit of memory. The map shows what each query could still see: a column that ends early is a token that a later one can no longer read, however much it would.',
  },

  examples: [
    { recent: 6, heavy: 6 },
    { recent: 1, heavy: 3 },
    { recent: 9, heavy: 0 },
    { recent: 0, heavy: 7 },
    { recent: 30, heavy: 10 },
  ],
  whole: tokens => [
    { recent: tokens, heavy: 0 },
    { recent: 0, heavy: tokens },
    { recent: 4, heavy: tokens },
  ],

  causalOnly: true,

  refuses: input =>
    input.rule.mask.causal
      ? null
      : 'A cache that fills while queries come in order is for causal attention only.',

  /** The paper's halves, and more for what was attended to. */
  settings(input, share) {
    const size = largestWithin(pairsOfShare(input, share), 1, input.keys, held => countPairs(input, held));
    if (size === null) return [];
    return [0.5, 0.25].map(part => {
      const recent = Math.ceil(part * size);
      return { recent, heavy: size - recent };
    });
  },

  cost(tokens, params, shape) {
    const most = Math.min(tokens, sizeOf(params) + 1);
    const pairs = (most * (most + 1)) / 2 + (tokens - most) * most;
    return pairCost(pairs, shape, 'exact', { flops: 2 * pairs, floats: tokens });
  },

  async attend(input, params, context) {
    const { heads, queries, keys, valueDim } = input;
    const shift = keys - queries;
    const size = sizeOf(params);
    const recent = numberOf(params, 'recent');
    const output = new Float32Array(heads * queries * valueDim);
    const lse = new Float32Array(heads * queries);
    const pairs = new Float64Array(heads);
    const gone = new Int32Array(heads * keys).fill(queries);
    for (let head = 0; head < heads; head++) {
      const cache = new KeyCache(input, head, gone.subarray(head * keys, (head + 1) * keys));
      const sums = new Float64Array(keys);
      for (let from = 0, to = 0; from < queries; from = to) {
        await checkpoint(context.signal);
        to = cache.begin(from);
        for (let i = from; i < to; i++) {
          lse[head * queries + i] = cache.attend(i);
          pairs[head]! += cache.size;
          cache.addTo(sums);
          cache.evict(i, size, i + shift + 1 - recent, sums);
        }
        output.set(await cache.output(context), (head * queries + from) * valueDim);
      }
    }
    return {
      output,
      lse,
      pairs,
      row(head, query) {
        const { from, to } = visibleKeys(input, query);
        const found = [...range(from, to)].filter(key => gone[head * keys + key]! > query);
        return sparseRow(input, head, query, found);
      },
      extra: {},
    };
  },
};

function sizeOf(params: Readonly<MechanismParams>): number {
  return numberOf(params, 'recent') + numberOf(params, 'heavy');
}

/** Pairs of one head; a query finds the key that it brings beside those that stayed. */
function countPairs(input: CoreInput, size: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = visibleKeys(input, i);
    // What stands before the first query is only evicted after it.
    pairs += i === 0 ? to - from : Math.min(size + 1, to - from);
  }
  return pairs;
}
