import type { CoreInput } from '../../engine/attention/core';
import type { MechanismParams } from '../../shared/protocol/mechanisms';

/**
 * Float64 oracles: attention as the papers write it, one pair after the other, nothing shared with the engine but
 * the shape of its input.
 */

/** Scaled, capped and biased score of a pair; -Infinity where the model's mask hides it. */
export function score(input: CoreInput, head: number, i: number, j: number): number {
  const { dim, rule } = input;
  const position = i + input.keys - input.queries;
  if (hidden(input, position, j)) return -Infinity;
  const group = input.heads / input.kvHeads;
  let s = 0;
  for (let c = 0; c < dim; c++) {
    s +=
      input.q[(head * input.queries + i) * dim + c]! *
      input.k[(Math.floor(head / group) * input.keys + j) * dim + c]!;
  }
  s *= rule.scale[head]!;
  if (rule.softCap !== null) s = rule.softCap * Math.tanh(s / rule.softCap);
  const { bias } = rule;
  if (!bias) return s;
  if (bias.kind === 'alibi') return s + bias.slopes[head]! * (j - position);
  if (bias.kind === 'relative') {
    const t = Math.min(bias.size - 1, Math.max(0, j - position - bias.first));
    return s + bias.table[head * bias.size + t]!;
  }
  const plane = bias.heads === 1 ? 0 : head;
  return s + bias.data[(plane * input.queries + i) * input.keys + j]!;
}

export function value(input: CoreInput, head: number, j: number, c: number): number {
  const group = input.heads / input.kvHeads;
  return input.v[(Math.floor(head / group) * input.keys + j) * input.valueDim + c]!;
}

/** By the model's mask rule; holes in a bias are not looked at, neither here nor in the count of dense pairs. */
export function hidden(input: CoreInput, position: number, j: number): boolean {
  const { causal, window } = input.rule.mask;
  if (causal && j > position) return true;
  return window !== null && (position - j > window.before || j - position > window.after);
}

export interface OracleResult {
  /** [heads][queries][keys] */
  weights: Float64Array[][];
  /** [heads, queries, valueDim] */
  output: Float64Array;
  /** [heads, queries] dense mass kept; 0 where the dense row itself is empty. */
  recall: Float64Array;
  /** [heads]: pairs with any weight that the mask rule shows. */
  pairs: number[];
}

/** The pairs of a mechanism under its parameters: a share in 0..1 of each. One for each mechanism in test/oracle/mechanisms. */
export type MaskOracle = (
  input: CoreInput,
  params: Readonly<MechanismParams>,
) => (head: number, position: number, j: number, i: number) => number;

/**
 * Softmax over the allowed pairs: `mask(head, i, j)` in 0..1 multiplies the exponentiated score (position of query i
 * is i + keys - queries), then every row is renormalised.
 */
export function maskedAttention(
  input: CoreInput,
  mask: (head: number, position: number, j: number, i: number) => number,
): OracleResult {
  const { heads, queries, keys, valueDim } = input;
  const output = new Float64Array(heads * queries * valueDim);
  const recall = new Float64Array(heads * queries);
  const weights: Float64Array[][] = [];
  const pairs: number[] = [];
  for (let h = 0; h < heads; h++) {
    weights.push([]);
    pairs.push(0);
    for (let i = 0; i < queries; i++) {
      const position = i + keys - queries;
      const row = new Float64Array(keys);
      const scores = Array.from({ length: keys }, (_, j) => score(input, h, i, j));
      const top = Math.max(...scores);
      let dense = 0;
      let kept = 0;
      for (let j = 0; j < keys; j++) {
        const m = mask(h, position, j, i);
        if (m > 0 && hidden(input, position, j) === false) pairs[h]!++;
        if (scores[j] === -Infinity) continue;
        const e = Math.exp(scores[j]! - top);
        dense += e;
        row[j] = e * m;
        kept += row[j]!;
      }
      if (kept > 0) for (let j = 0; j < keys; j++) row[j]! /= kept;
      recall[h * queries + i] = dense > 0 ? kept / dense : 0;
      weights[h]!.push(row);
      for (let c = 0; c < valueDim; c++) {
        let o = 0;
        for (let j = 0; j < keys; j++) o += row[j]! * value(input, h, j, c);
        output[(h * queries + i) * valueDim + c] = o;
      }
    }
  }
  return { weights, output, recall, pairs };
}

export function denseLse(input: CoreInput, head: number, i: number): number {
  const scores = Array.from({ length: input.keys }, (_, j) => score(input, head, i, j));
  const top = Math.max(...scores);
  if (top === -Infinity) return -Infinity;
  return top + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0));
}

/** Sparse Transformer, section 4.3, with both sets in one softmax. */
export const sparseTransformer = {
  strided: (stride: number) => (_h: number, p: number, j: number) =>
    Math.abs(p - j) <= stride || Math.abs(p - j) % stride === 0 ? 1 : 0,
  fixed: (block: number, summary: number) => (_h: number, p: number, j: number) =>
    Math.floor(p / block) === Math.floor(j / block) || j % block >= block - summary ? 1 : 0,
};

/** Adaptive span, section 3: m_z(x) = clamp((R + z - x) / R, 0, 1). */
export function softSpan(span: ArrayLike<number>, ramp: number) {
  return (h: number, p: number, j: number) =>
    Math.min(1, Math.max(0, (ramp + span[h]! - Math.abs(p - j)) / ramp));
}

/** The query's own block, and the best `blocks` - 1 complete blocks before it; ties: the lower block. */
export function chosenBlocks(
  input: CoreInput,
  size: number,
  blocks: number,
  rate: (head: number, query: number, block: number) => number,
): ReturnType<MaskOracle> {
  const chosen = Array.from({ length: input.heads }, (_, h) =>
    Array.from({ length: input.queries }, (__, i) => {
      const own = Math.floor((i + input.keys - input.queries) / size);
      const before = Array.from({ length: own }, (___, b) => ({ b, rating: rate(h, i, b) }));
      before.sort((x, y) => y.rating - x.rating || x.b - y.b);
      return new Set([own, ...before.slice(0, blocks - 1).map(({ b }) => b)]);
    }),
  );
  return (h, _p, j, i) => (chosen[h]![i]!.has(Math.floor(j / size)) ? 1 : 0);
}
