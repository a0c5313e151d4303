import { dependsOnPair, isBlocked } from '../kernels/blocked';
import { biasAt, densePairs, kvHead, visibleKeys, type CoreInput } from '../core';
import { pairCost, visiblePairs } from '../cost';
import { denseCore } from '../kernels/dense';
import { denseRow } from '../kernels/lines';
import type { Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';

const one = (name: string, description: string) =>
  ({ name, type: 'number', default: 1, description }) as const;

/**
 * Shaped attention: alpha I + beta A - gamma C, where C is A at zero logits (uniform over the visible keys; what a bias hides with -Infinity is not visible). Weights
 * may be negative and a row adds up to alpha + beta - gamma. A lens on what a head adds beyond identity and mean.
 */
export const shaped: Mechanism = {
  info: {
    name: 'shaped',
    title: 'Shaped',
    label: 'shaped',
    hue: '#9c755f',
    pale: true,
    summary: 'The own value, plus the attention, minus the plain mean of what is visible.',
    paper:
      'He & Hofmann, Simplifying Transformer Blocks, 2024, section 4.1; Noci et al., The Shaped Transformer, 2023',
    parameters: [
      one('alpha', 'Weight of the identity.'),
      one('beta', 'Weight of the attention.'),
      one('gamma', 'Weight of the uniform attention that is taken away.'),
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The token itself, plus the attention, minus the plain mean of what is visible.',
    rule: 'α I + β A - γ C',
    exact: 'Exact; rows add up to α + β - γ and may hold negative weights (blue).',
    cost: 'N² / 2 pairs.',
    when: 'A lens on what a head adds beyond identity and mean, not a way to save.',
  },

  examples: [{ alpha: 1, beta: 1, gamma: 1 }],
  whole: () => [{ alpha: 0, beta: 1, gamma: 0 }],
  beyondMap: 'softmax',

  cost: (tokens, _params, shape) =>
    pairCost(visiblePairs(tokens, shape.causal), shape, 'exact', { flops: 5 * tokens * shape.valueDim }),

  async attend(input, params, context) {
    const [alpha, beta, gamma] = ['alpha', 'beta', 'gamma'].map(name => numberOf(params, name)) as [
      number,
      number,
      number,
    ];
    const { heads, queries, keys, valueDim, v } = input;
    const { output } = await denseCore(input, context);
    for (let head = 0; head < heads; head++) {
      const values = v.subarray(kvHead(input, head) * keys * valueDim);
      const sums = prefixSums(values, keys, valueDim);
      for (let i = 0; i < queries; i++) {
        const { from, to } = visibleKeys(input, i);
        const own = ownKey(input, head, i);
        const hidden = hiddenKeys(input, head, i);
        const count = to - from - hidden.length;
        const at = (head * queries + i) * valueDim;
        for (let c = 0; c < valueDim; c++) {
          let total = sums[to * valueDim + c]! - sums[from * valueDim + c]!;
          for (const key of hidden) total -= values[key * valueDim + c]!;
          const mean = count > 0 ? total / count : 0;
          const self = own === null ? 0 : values[own * valueDim + c]!;
          output[at + c] = alpha * self + beta * output[at + c]! - gamma * mean;
        }
      }
    }
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(densePairs(input)),
      row: (head, query) => {
        const { from, to } = visibleKeys(input, query);
        const dense = denseRow(input, head, query);
        const own = ownKey(input, head, query);
        const hidden = new Set(hiddenKeys(input, head, query));
        const uniform = 1 / (to - from - hidden.size);
        return {
          keys: Int32Array.from({ length: to - from }, (_, t) => from + t),
          weights: Float64Array.from(
            { length: to - from },
            (_, t) =>
              (from + t === own ? alpha : 0) +
              beta * dense[from + t]! -
              (hidden.has(from + t) ? 0 : gamma * uniform),
          ),
        };
      },
      extra: {},
    };
  },
};

/** The key at the query's own position, if there is one that it sees. */
function ownKey(input: CoreInput, head: number, query: number): number | null {
  const { from, to } = visibleKeys(input, query);
  const position = query + input.keys - input.queries;
  return position >= from && position < to && !isBlocked(input, head, query, position) ? position : null;
}

/** Keys that the mask shows and a bias of -Infinity or an intervention hides: they are not part of the mean. */
function hiddenKeys(input: CoreInput, head: number, query: number): number[] {
  if (!dependsOnPair(input.rule)) return [];
  const { from, to } = visibleKeys(input, query);
  const keys: number[] = [];
  for (let key = from; key < to; key++) {
    if (biasAt(input, head, query, key) === -Infinity || isBlocked(input, head, query, key)) keys.push(key);
  }
  return keys;
}

/** [keys + 1, width] sums of the first rows, in float64. */
function prefixSums(rows: Float32Array, count: number, width: number): Float64Array {
  const sums = new Float64Array((count + 1) * width);
  for (let t = 0; t < count * width; t++) sums[width + t] = sums[t]! + rows[t]!;
  return sums;
}
