import { visibleKeys, type CoreInput } from '../core';
import { pairCost, visiblePairs } from '../cost';
import { scoreAt } from '../kernels/lines';
import { clearlyLargest, largest } from '../kernels/membership';
import { attendPairs, servesLists, type ListKeys } from '../kernels/pairs';
import { sparseRow } from '../kernels/rows';
import { scoreBlock, weighValues } from '../kernels/scoreBlocks';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import type { Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';

/** Queries whose scores are held at once, and scores of them all. */
const ROWS = 128;
const ELEMENTS = 2 ** 20;

/** float32 scores nearer to each other than this, as a share of the largest, are compared again in float64. */
const CLOSE = 1e-5;

/**
 * The k best keys of every query by their exact scores: what those that choose keys without looking at all of them are
 * measured against. All scores are computed, block by block of queries.
 */
export const topK: Mechanism = {
  info: {
    name: 'top-k',
    title: 'Top-k',
    label: 'top-k',
    hue: '#17a2b8',
    summary: 'Every token attends to the k tokens of its largest scores.',
    paper: 'Gupta et al., Memory-efficient Transformers via Top-k Attention, 2021, section 2',
    parameters: [
      {
        name: 'k',
        type: 'integer',
        default: 64,
        minimum: 1,
        description: 'Keys of each query; where scores are equal, the earlier ones.',
      },
    ],
    view: 'map',
    causalSelection: true,
    floor: true,
  },

  about: {
    what: 'The `k` keys of the largest exact score, for every query.',
    rule: 'the k largest of q·k over the visible keys; ties: the lower position',
    exact:
      'Exact. No set of k keys for each query keeps more of the mass, so it is the bound for all that choose keys (blocks, pages, hashes, clusters) with as many pairs.',
    cost: 'N² / 2 scores, as dense attention, to choose N · k pairs: it saves reading values, and nothing else.',
    when: 'As the floor, which plans are compared with and choose only where it is named: how far another mechanism falls short of it at the same pairs is what its way of choosing loses; how far it falls short itself is what no choice of so few keys can save.',
  },

  examples: [{ k: 6 }, { k: 1 }, { k: 17 }],
  whole: tokens => [{ k: tokens }],

  settings(input, share) {
    const k = largestWithin(pairsOfShare(input, share), 1, input.keys, size => countPairs(input, size));
    return k === null ? [] : [{ k }];
  },

  /** Scores of all pairs, each compared once, beside the pairs that are kept. */
  cost(tokens, params, shape) {
    const k = Math.min(tokens, numberOf(params, 'k'));
    const all = visiblePairs(tokens, shape.causal);
    const pairs = shape.causal ? (k * (k + 1)) / 2 + (tokens - k) * k : tokens * k;
    return pairCost(pairs, shape, 'exact', {
      flops: 2 * (all - pairs) * shape.dim + all,
      floats: Math.min(ROWS, tokens) * tokens,
    });
  },

  async attend(input, params, context) {
    const k = numberOf(params, 'k');
    const { heads, queries, keys, valueDim } = input;
    const outputs = new Outputs(input);
    const { output, lse } = outputs;
    const pairs = new Float64Array(heads);
    const tables = offsetTables(input);
    const step = Math.max(1, Math.min(ROWS, Math.floor(ELEMENTS / keys)));
    for (let head = 0; head < heads; head++) {
      for (let from = 0; from < queries; from += step) {
        const to = Math.min(queries, from + step);
        const block = await scoreBlock(input, head, from, to, tables(head), context);
        const rowOf = (i: number) =>
          block.scores.subarray((i - from) * block.columns).subarray(0, block.columns);
        const kept = Array.from({ length: to - from }, (_, r) =>
          best(rowOf(from + r), k, c => scoreAt(input, head, from + r, block.firstKey + c)),
        );
        if (servesLists(input, context)) {
          const listKeys: ListKeys = (query, into, at) => {
            const list = kept[query - from]!;
            for (let t = 0; t < list.length; t++) into[at + t] = block.firstKey + list[t]!;
            return at + list.length;
          };
          pairs[head]! += await attendPairs(input, head, listKeys, tables(head), outputs, context, {
            from,
            to,
          });
          continue;
        }
        for (let i = from; i < to; i++) {
          pairs[head]! += kept[i - from]!.length;
          const mass = softmaxOver(rowOf(i), kept[i - from]!);
          if (mass > -Infinity) lse[head * queries + i] = mass + (block.shift?.[i - from] ?? 0);
        }
        output.set(await weighValues(input, head, block, context), (head * queries + from) * valueDim);
      }
    }
    return {
      output,
      lse,
      pairs,
      row: (head, query) => {
        const { from, to } = visibleKeys(input, query);
        const scores = Array.from({ length: to - from }, (_, t) => scoreAt(input, head, query, from + t));
        const order = [...scores.keys()]
          .filter(t => scores[t]! > -Infinity)
          .sort((a, b) => scores[b]! - scores[a]! || a - b);
        const kept = order.slice(0, k).sort((a, b) => a - b);
        return sparseRow(
          input,
          head,
          query,
          kept.map(t => from + t),
        );
      },
      extra: {},
    };
  },
};

/** Ascending indices of the k largest scores above -Infinity; what float32 cannot tell apart is told by `precise`. */
function best(scores: Float32Array, k: number, precise: (index: number) => number): Int32Array {
  const clear = new Int32Array(k);
  if (clearlyLargest(scores, k, clear, CLOSE)) return clear;
  let seen = 0;
  for (let t = 0; t < scores.length; t++) if (scores[t]! > -Infinity) seen++;
  if (seen <= k) return indices(scores, score => score > -Infinity);
  const chosen = new Int32Array(k);
  largest(scores, k, chosen);
  let [least, top] = [Infinity, 1];
  for (const c of chosen) {
    least = Math.min(least, scores[c]!);
    top = Math.max(top, Math.abs(scores[c]!));
  }
  const margin = CLOSE * top;
  const sure = indices(scores, score => score > least + margin);
  const close = indices(scores, score => Math.abs(score - least) <= margin);
  const exact = new Map(Array.from(close, c => [c, precise(c)]));
  const order = [...close].sort((a, b) => exact.get(b)! - exact.get(a)! || a - b);
  return Int32Array.from([...sure, ...order.slice(0, k - sure.length)]).sort();
}

function indices(scores: Float32Array, keep: (score: number) => boolean): Int32Array {
  const found: number[] = [];
  for (let t = 0; t < scores.length; t++) if (keep(scores[t]!)) found.push(t);
  return Int32Array.from(found);
}

/** Replaces the scores by their softmax over the kept ones; returns the log-sum-exp of these. */
function softmaxOver(scores: Float32Array, kept: Int32Array): number {
  let top = -Infinity;
  for (const c of kept) top = Math.max(top, scores[c]!);
  let sum = 0;
  const weights = Float64Array.from(kept, c => Math.exp(scores[c]! - top));
  for (const weight of weights) sum += weight;
  scores.fill(0);
  kept.forEach((c, t) => (scores[c] = weights[t]! / sum));
  return kept.length === 0 ? -Infinity : top + Math.log(sum);
}

/** Pairs of one head. */
function countPairs(input: CoreInput, k: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = visibleKeys(input, i);
    pairs += Math.min(k, to - from);
  }
  return pairs;
}
