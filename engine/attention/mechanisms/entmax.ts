import { visibleKeys, type CoreInput } from '../core';
import { pairCost, visiblePairs } from '../cost';
import { entmax } from '../maths/entmaxRow';
import { scoreAt } from '../kernels/lines';
import type { Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';
import { scoreBlock, weighValues } from '../kernels/scoreBlocks';
import { offsetTables } from '../kernels/tiles';

/** Above this alpha the weights rise with an infinite slope at the threshold. */
const STEEP = 2;

/**
 * alpha-entmax in the place of softmax: weak keys get exactly nothing. Quadratic as dense attention; what it tells is
 * how many keys a head needs. A model trained with softmax has scores that were not made for it.
 */
export const entmaxAttention: Mechanism = {
  info: {
    name: 'entmax',
    title: 'Entmax',
    label: 'entmax',
    hue: '#76b7b2',
    pale: true,
    summary: 'A sparse softmax: weak keys get exactly nothing.',
    paper:
      'Correia et al., Adaptively Sparse Transformers, 2019, section 3; Peters et al., Sparse Sequence-to-Sequence Models, 2019',
    parameters: [
      {
        name: 'alpha',
        type: 'number',
        default: 1.5,
        minimum: 1,
        maximum: 4,
        description: '1 is softmax, 2 sparsemax; 1.5 is solved exactly, other values by bisection.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'A sparse softmax: weak keys get exactly nothing.',
    rule: 'p = [(α-1) score - τ]₊^(1/(α-1)), Σp = 1',
    exact:
      'Exact for α = 1.5 by sorting, for other α by bisection. A model trained with softmax has scores that were not made for it.',
    cost: 'N² / 2 scores; what it saves is only told by its pairs.',
    when: 'To ask how many keys a head needs. Its graph at 1.5 is one of the two that Compare measures edge recall against.',
  },

  examples: [{ alpha: 1.5 }, { alpha: 2 }],
  whole: () => [{ alpha: 1 }],

  /** All scores are computed, and each row's sorted; how many pairs keep any weight, the text decides. */
  cost(tokens, _params, shape) {
    const pairs = visiblePairs(tokens, shape.causal);
    return pairCost(pairs, shape, 'most', { flops: pairs * Math.log2(Math.max(2, tokens)) });
  },

  async attend(input, params, context) {
    const alpha = numberOf(params, 'alpha');
    const { heads, queries, keys, valueDim } = input;
    const output = new Float32Array(heads * queries * valueDim);
    const lse = new Float32Array(heads * queries).fill(-Infinity);
    const pairs = new Float64Array(heads);
    const tables = offsetTables(input);
    const step = Math.max(1, Math.min(128, Math.floor(2 ** 20 / keys)));
    for (let head = 0; head < heads; head++) {
      for (let from = 0; from < queries; from += step) {
        const to = Math.min(queries, from + step);
        const block = await scoreBlock(input, head, from, to, tables(head), context);
        for (let i = from; i < to; i++) {
          const at = (i - from) * block.columns;
          const row = block.scores.subarray(at, at + block.columns);
          const weights =
            alpha > STEEP ? preciseWeights(input, head, i, block.firstKey, row, alpha) : entmax(row, alpha);
          let mass = 0;
          let top = -Infinity;
          for (let j = 0; j < row.length; j++) if (row[j]! > top) top = row[j]!;
          for (let j = 0; j < row.length; j++) {
            const weight = weights[j]!;
            if (weight > 0) {
              pairs[head]!++;
              mass += Math.exp(row[j]! - top);
            }
            row[j] = weight;
          }
          if (mass > 0) lse[head * queries + i] = top + Math.log(mass) + (block.shift?.[i - from] ?? 0);
        }
        const rows = await weighValues(input, head, block, context);
        output.set(rows, (head * queries + from) * valueDim);
      }
    }
    return {
      output,
      lse,
      ...(alpha === 1 ? {} : { reweighted: true }),
      pairs,
      row: (head, query) => {
        const { from, to } = visibleKeys(input, query);
        const scores = Float64Array.from({ length: to - from }, (_, t) =>
          scoreAt(input, head, query, from + t),
        );
        const weights = entmax(scores, alpha);
        const kept = Array.from(weights.keys()).filter(t => weights[t]! > 0);
        return {
          keys: Int32Array.from(kept, t => from + t),
          weights: Float64Array.from(kept, t => weights[t]!),
        };
      },
      extra: {},
    };
  },
};

/** The keys that may be in the support, few for a large alpha, are scored again in float64. `scores` are float32. */
function preciseWeights(
  input: CoreInput,
  head: number,
  query: number,
  firstKey: number,
  scores: Float32Array,
  alpha: number,
): Float64Array {
  let top = -Infinity;
  for (const score of scores) if (score > top) top = score;
  const limit = top - 1 / (alpha - 1) - 1e-3 * Math.max(1, Math.abs(top));
  const candidates: number[] = [];
  scores.forEach((score, t) => {
    if (score > limit) candidates.push(t);
  });
  const precise = Float64Array.from(candidates, t => scoreAt(input, head, query, firstKey + t));
  const weights = new Float64Array(scores.length);
  entmax(precise, alpha).forEach((weight, c) => (weights[candidates[c]!] = weight));
  return weights;
}
