import { biasAt, kvHead, visibleKeys, type CoreInput, type ScoreRule } from '../../engine/attention/core';
import { random } from './random';

/** Plain float64 attention: all probabilities of one head, [queries][keys]. */
export function oracleProbabilities(
  input: CoreInput,
  head: number,
): { p: Float64Array[]; lse: Float64Array } {
  const { queries, keys, dim, q, k, rule } = input;
  const lse = new Float64Array(queries);
  const p: Float64Array[] = [];
  for (let i = 0; i < queries; i++) {
    const { from, to } = visibleKeys(input, i);
    const scores = new Float64Array(keys).fill(-Infinity);
    for (let j = from; j < to; j++) {
      let dot = 0;
      for (let c = 0; c < dim; c++) {
        dot += q[(head * queries + i) * dim + c]! * k[(kvHead(input, head) * keys + j) * dim + c]!;
      }
      dot *= rule.scale[head]!;
      if (rule.softCap !== null) dot = rule.softCap * Math.tanh(dot / rule.softCap);
      scores[j] = dot + biasAt(input, head, i, j);
    }
    const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const row = new Float64Array(keys);
    let sum = 0;
    if (largest > -Infinity) for (let j = 0; j < keys; j++) sum += row[j] = Math.exp(scores[j]! - largest);
    lse[i] = sum > 0 ? largest + Math.log(sum) : -Infinity;
    if (sum > 0) for (let j = 0; j < keys; j++) row[j]! /= sum;
    p.push(row);
  }
  return { p, lse };
}

/** [queries * valueDim] of one head. */
export function oracleOutput(input: CoreInput, head: number, p: Float64Array[]): Float64Array {
  const { keys, valueDim, v } = input;
  const output = new Float64Array(p.length * valueDim);
  for (const [i, row] of p.entries()) {
    for (let j = 0; j < keys; j++) {
      const at = (kvHead(input, head) * keys + j) * valueDim;
      for (let c = 0; c < valueDim; c++) output[i * valueDim + c]! += row[j]! * v[at + c]!;
    }
  }
  return output;
}

export interface CoreShape {
  heads?: number;
  kvHeads?: number;
  queries?: number;
  keys?: number;
  dim?: number;
  valueDim?: number;
  /** Spread of q and k; larger = sharper attention. */
  sharpness?: number;
  rule?: Partial<ScoreRule>;
}

/** A core with normally distributed q, k, v; causal unless told otherwise. */
export function randomCore(seed: number, shape: CoreShape = {}): CoreInput {
  const { heads = 2, kvHeads = heads, queries = 37, keys = queries, dim = 8, valueDim = dim } = shape;
  const { sharpness = 1.5, rule = {} } = shape;
  const normal = random(seed).normal;
  const fill = (length: number, spread: number) => Float32Array.from({ length }, () => normal() * spread);
  return {
    heads,
    kvHeads,
    queries,
    keys,
    dim,
    valueDim,
    q: fill(heads * queries * dim, sharpness),
    k: fill(kvHeads * keys * dim, sharpness),
    v: fill(kvHeads * keys * valueDim, 1),
    rule: {
      scale: new Float32Array(heads).fill(1 / Math.sqrt(dim)),
      softCap: null,
      mask: { causal: true, window: null },
      bias: null,
      ...rule,
    },
  };
}

/** Every kind of rule the measures and the dense core must serve, by name. */
export function coreZoo(seed = 1): Record<string, CoreInput> {
  const normal = random(seed + 1000).normal;
  const full = { causal: false, window: null };
  const opaque = Float32Array.from({ length: 2 * 70 * 70 }, () => (normal() > 0.8 ? -Infinity : normal()));
  opaque.fill(-Infinity, 5 * 70, 6 * 70); // query 5 of head 0 sees nothing
  return {
    causal: randomCore(seed, { queries: 301 }),
    'causal, one token': randomCore(seed, { queries: 1 }),
    'causal, sharp': randomCore(seed, { queries: 150, sharpness: 5 }),
    bidirectional: randomCore(seed, { queries: 301, rule: { mask: full } }),
    'causal window': randomCore(seed, {
      queries: 300,
      rule: { mask: { causal: true, window: { before: 40, after: 0 } } },
    }),
    'two-sided window': randomCore(seed, {
      queries: 300,
      rule: { mask: { causal: false, window: { before: 8, after: 8 } } },
    }),
    'chunks, causal': randomCore(seed, {
      queries: 300,
      rule: { mask: { causal: true, window: null, chunk: 70 } },
    }),
    'chunks, full, under a bias': randomCore(seed, {
      queries: 130,
      rule: {
        mask: { causal: false, window: null, chunk: 33 },
        bias: { kind: 'alibi', slopes: Float32Array.of(0.5, 0.03) },
      },
    }),
    'grouped queries': randomCore(seed, { heads: 6, kvHeads: 2, queries: 140 }),
    'multi-query, full': randomCore(seed, { heads: 4, kvHeads: 1, queries: 33, rule: { mask: full } }),
    alibi: randomCore(seed, {
      queries: 200,
      rule: { bias: { kind: 'alibi', slopes: Float32Array.of(0.5, 0.03) } },
    }),
    'alibi, grouped': randomCore(seed, {
      heads: 2,
      kvHeads: 1,
      queries: 99,
      rule: { bias: { kind: 'alibi', slopes: Float32Array.of(0.5, 0.03) } },
    }),
    relative: randomCore(seed, {
      queries: 130,
      rule: {
        mask: full,
        bias: {
          kind: 'relative',
          table: Float32Array.from({ length: 2 * 41 }, normal),
          size: 41,
          first: -20,
        },
      },
    }),
    opaque: randomCore(seed, {
      queries: 70,
      rule: { mask: full, bias: { kind: 'opaque', heads: 2, data: opaque } },
    }),
    'opaque, one for all heads, causal': randomCore(seed, {
      queries: 70,
      rule: { bias: { kind: 'opaque', heads: 1, data: opaque.subarray(70 * 70) } },
    }),
    'soft cap': randomCore(seed, { queries: 90, sharpness: 4, rule: { softCap: 5 } }),
    'scale per head': randomCore(seed, { queries: 90, rule: { scale: Float32Array.of(0.1, 1) } }),
    'values wider than keys': randomCore(seed, { queries: 60, dim: 6, valueDim: 11 }),
    'more keys than queries, causal': randomCore(seed, { queries: 50, keys: 170 }),
    'more queries than keys, causal': randomCore(seed, { queries: 170, keys: 50 }),
    'cross, more queries': randomCore(seed, { queries: 300, keys: 45, rule: { mask: full } }),
    'cross, more keys': randomCore(seed, { queries: 45, keys: 300, rule: { mask: full } }),
  };
}
