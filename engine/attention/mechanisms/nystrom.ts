import { kvHead, type CoreInput } from '../core';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import {
  attendWithPast,
  pastCore,
  pastPairs,
  pastSegmentParameter,
  stretches,
  stretchMeans,
  type Past,
} from '../kernels/pastSummary';
import { refusesRule } from '../kernels/plainCore';
import { exactPseudoInverse, iterativePseudoInverse, multiply } from '../maths/pseudoInverse';
import { scoresWith, softmax } from '../kernels/rows';
import type { Segment } from '../kernels/segments';
import { BATCH_ELEMENTS, Outputs } from '../kernels/tiles';
import { logSumExp } from '../../statistics';
import { checkpoint } from '../../runtime/cancellation';
import type { MechanismParams } from '../../../shared/protocol/engine';

/**
 * Nystromformer: the map as F A+ B, with landmarks that are means of equal stretches of queries and of keys. Rows need
 * not be positive, nor add up to 1. The first guess of the iterative inverse is made per head (the authors' code
 * takes one maximum over all heads, so that heads depend on each other). The paper has no causal form: here the landmarks of a
 * segment are means of what is before it, and a landmark key has the weight of its tokens beside the segment's own keys.
 */
export const nystrom: Mechanism = {
  info: {
    name: 'nystrom',
    title: 'Nyströmformer',
    label: 'Nyström',
    hue: '#af7aa1',
    pale: true,
    summary: 'Reconstructs the whole map from a few landmark tokens.',
    paper:
      'Xiong et al., Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, 2021, section 4',
    parameters: [
      {
        name: 'landmarks',
        type: 'integer',
        default: 64,
        minimum: 1,
        maximum: 512,
        description: 'Landmarks; at most one for each token.',
      },
      {
        name: 'pinv',
        type: 'string',
        default: 'iterative',
        choices: ['exact', 'iterative'],
        description:
          'The inverse of the landmark map: six iterations as in the paper, or by singular values.',
      },
      pastSegmentParameter,
    ],
    view: 'map',
    causalSelection: true,
    approximate: true,
  },

  about: {
    what: 'The map from a few landmarks: means of equal stretches of queries and of keys.',
    rule: 'F A⁺ B with F = softmax(Q K̃ᵀ), A = softmax(Q̃ K̃ᵀ), B = softmax(Q̃ Kᵀ)',
    exact:
      '`iterative`: the paper’s six steps, started per head; `exact`: the pseudo-inverse by singular values in float64. Weights may be negative (blue) and rows need not add up to 1. The paper has no causal form: under a causal mask a query sees its own segment as it is and all before it by landmarks of what is before; how much of its mass is there is told by the landmark keys, each with the weight of its tokens.',
    cost: 'N · landmarks · dim + landmarks³, under a causal mask N² · landmarks / (2 segment) more for the landmarks of each segment.',
    when: 'Smooth maps of low rank. With as many landmarks as tokens it is dense.',
  },

  examples: [{ landmarks: 8, segment: 8 }, { landmarks: 4 }, { landmarks: 16, segment: 6, pinv: 'exact' }],
  whole: tokens => [
    { landmarks: tokens, pinv: 'exact' },
    { landmarks: tokens, pinv: 'exact', segment: 7 },
  ],

  refuses: input =>
    input.rule.mask.causal && input.keys !== input.queries
      ? 'Nyströmformer under a causal mask needs a query for every key.'
      : refusesRule('Nyströmformer', input),

  /** Three maps with the landmarks on a side, and six steps of four products for the inverse of the small one. */
  cost(tokens, params, { dim, valueDim, causal }) {
    const m = Math.min(numberOf(params, 'landmarks'), tokens);
    const inverse = 6 * 4 * 2 * m ** 3;
    if (!causal) {
      const maps = mapSizes(m, tokens, tokens);
      return {
        pairs: maps,
        count: 'exact',
        flops: 2 * maps * (dim + valueDim) + inverse,
        bytes: 4 * (maps + m * valueDim),
      };
    }
    let segments = 0;
    const pairs = pastPairs(tokens, params, (rows, start) => {
      segments++;
      return mapSizes(Math.min(m, start), rows, start);
    });
    return {
      pairs,
      count: 'exact',
      flops: 2 * pairs * (dim + valueDim) + segments * inverse,
      bytes: 4 * (pairs + m * valueDim),
    };
  },

  async attend(input, params, context) {
    if (input.rule.mask.causal) {
      const past = (head: number, segment: Segment) => pastOf(input, params, head, segment);
      return attendWithPast(input, params, { past }, context);
    }
    const { heads, queries, keys, valueDim } = input;
    const output = new Float32Array(heads * queries * valueDim);
    const parts: Landmarks[] = [];
    for (let head = 0; head < heads; head++) {
      const part = landmarksOf(input, head, params);
      parts.push(part);
      output.set(await attendRows(input, head, part, context), head * queries * valueDim);
    }
    const { landmarks } = parts[0]!;
    // Rows of one head come one after the other; the landmarks' own rows are the same for all of them.
    let summaries: { head: number; rows: Float64Array } | null = null;
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(mapSizes(landmarks, queries, keys)),
      row: (head, query) => {
        if (summaries?.head !== head) summaries = { head, rows: landmarkRows(input, head, parts[head]!) };
        return impliedRow(input, head, query, parts[head]!, summaries.rows);
      },
      extra: {},
    };
  },
};

interface Landmarks {
  landmarks: number;
  /** [landmarks, dim] */
  queries: Float64Array;
  keys: Float64Array;
  /** [landmarks, landmarks] */
  inverse: Float64Array;
  /** The true inverse may have entries far above 1, which float32 sums beside it would not survive. */
  exact: boolean;
}

function landmarksOf(input: CoreInput, head: number, params: MechanismParams): Landmarks {
  const { dim, queries, keys } = input;
  const landmarks = Math.min(numberOf(params, 'landmarks'), queries, keys);
  const kv = kvHead(input, head);
  const q = stretchMeans(input.q.subarray(head * queries * dim, (head + 1) * queries * dim), landmarks, dim);
  const k = stretchMeans(input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim), landmarks, dim);
  const map = new Float64Array(landmarks * landmarks);
  for (let a = 0; a < landmarks; a++) {
    map.set(mapRow(q, a * dim, k, landmarks, dim, scaleOf(input, head)), a * landmarks);
  }
  const exact = wordOf(params, 'pinv') === 'exact';
  const inverse = exact ? exactPseudoInverse(map, landmarks) : iterativePseudoInverse(map, landmarks);
  return { landmarks, queries: q, keys: k, inverse, exact };
}

/** 1 / sqrt(dim) with all its digits where float32 cut them off: a pseudo-inverse can make much of the last ones. */
function scaleOf({ rule, dim }: CoreInput, head: number): number {
  const scale = rule.scale[head]!;
  const usual = 1 / Math.sqrt(dim);
  return Math.fround(usual) === scale ? usual : scale;
}

function mapRow(
  q: Float32Array | Float64Array,
  at: number,
  k: Float32Array | Float64Array,
  keys: number,
  dim: number,
  scale: number,
): Float64Array {
  return softmax(scoresWith(q, at, k.subarray(0, keys * dim), dim, scale));
}

/** Pairs of the three maps with `m` landmarks on a side. */
const mapSizes = (m: number, queries: number, keys: number) => m * (queries + keys + m);

/** A segment's queries over what is before it, by landmarks of the queries and keys there. */
function pastOf(input: CoreInput, params: MechanismParams, head: number, segment: Segment): Past {
  const { dim } = input;
  const core = pastCore(input, head, segment);
  const { start } = segment;
  const all = head * input.queries * dim;
  const before = { ...core, queries: start, q: input.q.subarray(all, all + start * dim) };
  const part = landmarksOf(before, 0, params);
  const { landmarks, keys } = part;
  const at = stretches(start, landmarks);
  const scale = scaleOf(core, 0);
  /** Log of the mass of all before, as the landmark keys tell it. */
  const massOf = (row: number) =>
    logSumExp(
      scoresWith(core.q, row * dim, keys, dim, scale).map((score, a) => score + Math.log(at(a + 1) - at(a))),
    );
  let summaries: Float64Array | null = null;
  return {
    pairs: mapSizes(landmarks, core.queries, start),
    read: async context => ({
      output: Float32Array.from(await attendRows(core, 0, part, context)),
      lse: Float32Array.from({ length: core.queries }, (_, row) => massOf(row)),
    }),
    row: query => {
      const row = query - segment.from;
      summaries ??= landmarkRows(core, 0, part);
      return { weights: impliedRow(core, 0, row, part, summaries).weights, lse: massOf(row) };
    },
  };
}

/** F (A+ (B V)) of all queries of a head, [queries, valueDim]. */
function attendRows(
  input: CoreInput,
  head: number,
  part: Landmarks,
  context: AttendContext,
): Promise<Float32Array | Float64Array> {
  return part.exact ? attendExactly(input, head, part, context) : attendHead(input, head, part, context);
}

async function attendHead(
  input: CoreInput,
  head: number,
  part: Landmarks,
  context: AttendContext,
): Promise<Float32Array> {
  const { dim, valueDim, queries, keys, rule } = input;
  const { landmarks } = part;
  const kv = kvHead(input, head);
  const one = { ...input, heads: 1, kvHeads: 1, rule: { ...rule, scale: rule.scale.slice(head, head + 1) } };
  // B V: the landmark queries over all keys.
  const summaries = new Outputs({
    ...one,
    queries: landmarks,
    q: Float32Array.from(part.queries),
    k: input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim),
    v: input.v.subarray(kv * keys * valueDim, (kv + 1) * keys * valueDim),
  });
  await fullTiles(summaries, landmarks, keys, context);
  // A+ (B V), then F over it.
  const mixed = multiply(part.inverse, Float64Array.from(summaries.output), landmarks, landmarks, valueDim);
  const final = new Outputs({
    ...one,
    keys: landmarks,
    q: input.q.subarray(head * queries * dim, (head + 1) * queries * dim),
    k: Float32Array.from(part.keys),
    v: Float32Array.from(mixed),
  });
  await fullTiles(final, queries, landmarks, context);
  return final.output;
}

/** F (A+ (B V)) in float64, row by row: as many products as the graphs do, and still linear in the text. */
async function attendExactly(
  input: CoreInput,
  head: number,
  { landmarks, queries: q, keys: k, inverse }: Landmarks,
  { signal }: AttendContext,
): Promise<Float64Array> {
  const { dim, valueDim, queries, keys } = input;
  const scale = scaleOf(input, head);
  const kv = kvHead(input, head);
  const allKeys = input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim);
  const values = Float64Array.from(input.v.subarray(kv * keys * valueDim, (kv + 1) * keys * valueDim));
  const summaries = new Float64Array(landmarks * valueDim);
  for (let a = 0; a < landmarks; a++) {
    await checkpoint(signal);
    const weights = mapRow(q, a * dim, allKeys, keys, dim, scale);
    summaries.set(multiply(weights, values, 1, keys, valueDim), a * valueDim);
  }
  const mixed = multiply(inverse, summaries, landmarks, landmarks, valueDim);
  const output = new Float64Array(queries * valueDim);
  for (let i = 0; i < queries; i++) {
    if (i % 64 === 0) await checkpoint(signal);
    const weights = mapRow(input.q, (head * queries + i) * dim, k, landmarks, dim, scale);
    output.set(multiply(weights, mixed, 1, landmarks, valueDim), i * valueDim);
  }
  return output;
}

/** All queries against all keys of a one-headed input. */
async function fullTiles(
  outputs: Outputs,
  queries: number,
  keys: number,
  context: AttendContext,
): Promise<void> {
  const rowsAtOnce = Math.max(1, Math.min(queries, Math.floor(BATCH_ELEMENTS / Math.min(keys, 4096))));
  for (let from = 0; from < queries; from += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, queries - from);
    for (let left = 0; left < keys; left += 4096) {
      const columns = Math.min(4096, keys - left);
      await outputs.add(
        {
          head: 0,
          rows,
          columns,
          queries: Int32Array.from({ length: rows }, (_, r) => from + r),
          keys: Int32Array.from({ length: columns }, (_, c) => left + c),
          bias: null,
        },
        context,
      );
    }
  }
}

/** B: the landmark queries over all keys, [landmarks, keys]. */
function landmarkRows(input: CoreInput, head: number, { landmarks, queries: q }: Landmarks): Float64Array {
  const { dim, keys } = input;
  const kv = kvHead(input, head);
  const all = input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim);
  const rows = new Float64Array(landmarks * keys);
  for (let a = 0; a < landmarks; a++) {
    rows.set(mapRow(q, a * dim, all, keys, dim, scaleOf(input, head)), a * keys);
  }
  return rows;
}

function impliedRow(
  input: CoreInput,
  head: number,
  query: number,
  { landmarks, keys: k, inverse }: Landmarks,
  summaries: Float64Array,
): { keys: Int32Array; weights: Float64Array } {
  const { dim, keys } = input;
  const scale = scaleOf(input, head);
  const own = mapRow(input.q, (head * input.queries + query) * dim, k, landmarks, dim, scale);
  const mixed = multiply(own, inverse, 1, landmarks, landmarks);
  const weights = multiply(mixed, summaries, 1, landmarks, keys);
  return { keys: Int32Array.from(weights, (_, j) => j), weights };
}
