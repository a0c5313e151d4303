import { kvHead, type CoreInput } from '../core';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { exactPseudoInverse, iterativePseudoInverse, multiply } from '../maths/pseudoInverse';
import { softmax } from '../kernels/rows';
import { BATCH_ELEMENTS, Outputs } from '../kernels/tiles';
import { checkpoint } from '../../runtime/cancellation';
import type { MechanismParams } from '../../../shared/protocol/engine';

/**
 * Nystromformer: the map as F A+ B, with landmarks that are means of equal stretches of queries and of keys. Rows need
 * not be positive, nor add up to 1. The first guess of the iterative inverse is made per head (the authors' code
 * takes one maximum over all heads, so that heads depend on each other).
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
    ],
    view: 'map',
    causalSelection: false,
    approximate: true,
  },

  about: {
    what: 'The map from a few landmarks: means of equal stretches of queries and of keys.',
    rule: 'F A⁺ B with F = softmax(Q K̃ᵀ), A = softmax(Q̃ K̃ᵀ), B = softmax(Q̃ Kᵀ)',
    exact:
      '`iterative`: the paper’s six steps, started per head; `exact`: the pseudo-inverse by singular values in float64. Weights may be negative (blue) and rows need not add up to 1. Not causal.',
    cost: 'N · landmarks · dim + landmarks³.',
    when: 'Smooth maps of low rank. With as many landmarks as tokens it is dense.',
  },

  examples: [{ landmarks: 8 }, { landmarks: 4 }, { landmarks: 16 }],
  whole: tokens => [{ landmarks: tokens, pinv: 'exact' }],

  refuses: input =>
    input.rule.mask.causal
      ? 'Nyströmformer uses landmarks of the whole text and cannot be causal.'
      : refusesRule('Nyströmformer', input),

  /** Three maps with the landmarks on a side, and six steps of four products for the inverse of the small one. */
  cost(tokens, params, { dim, valueDim }) {
    const m = Math.min(numberOf(params, 'landmarks'), tokens);
    const maps = m * (2 * tokens + m);
    return {
      pairs: maps,
      count: 'exact',
      flops: 2 * maps * dim + 6 * 4 * 2 * m ** 3 + 2 * m * valueDim * (2 * tokens + m),
      bytes: 4 * (maps + m * valueDim),
    };
  },

  async attend(input, params, context) {
    const { heads, queries, keys, valueDim } = input;
    const output = new Float32Array(heads * queries * valueDim);
    const parts: Landmarks[] = [];
    for (let head = 0; head < heads; head++) {
      const part = landmarksOf(input, head, params);
      parts.push(part);
      const rows = part.exact ? attendExactly : attendHead;
      output.set(await rows(input, head, part, context), head * queries * valueDim);
    }
    const { landmarks } = parts[0]!;
    // Rows of one head come one after the other; the landmarks' own rows are the same for all of them.
    let summaries: { head: number; rows: Float64Array } | null = null;
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(landmarks * (queries + keys + landmarks)),
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

/** Means of `count` consecutive stretches, as equal as can be. */
function stretchMeans(rows: Float32Array, count: number, width: number): Float64Array {
  const total = rows.length / width;
  const means = new Float64Array(count * width);
  for (let a = 0; a < count; a++) {
    const from = Math.floor((a * total) / count);
    const to = Math.floor(((a + 1) * total) / count);
    for (let c = 0; c < width; c++) {
      let sum = 0;
      for (let i = from; i < to; i++) sum += rows[i * width + c]!;
      means[a * width + c] = sum / (to - from);
    }
  }
  return means;
}

function mapRow(
  q: Float32Array | Float64Array,
  at: number,
  k: Float32Array | Float64Array,
  keys: number,
  dim: number,
  scale: number,
): Float64Array {
  return softmax(
    Array.from({ length: keys }, (_, j) => {
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += q[at + c]! * k[j * dim + c]!;
      return dot * scale;
    }),
  );
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
