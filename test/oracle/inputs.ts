import type { BiasRule, CoreInput } from '../../engine/attention/core';

/** Reproducible random numbers for fixtures (LCG over 2^32; quality does not matter here). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export function gaussians(length: number, seed: number): Float32Array {
  const next = random(seed * 7919 + 17);
  for (let t = 0; t < 8; t++) next();
  return Float32Array.from({ length }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return radius * Math.cos(2 * Math.PI * next());
  });
}

export interface Shape {
  heads?: number;
  kvHeads?: number;
  queries: number;
  keys?: number;
  dim?: number;
  valueDim?: number;
  causal?: boolean;
  window?: { before: number; after: number } | null;
  chunk?: number;
  softCap?: number | null;
  bias?: 'none' | 'alibi' | 'relative' | 'opaque' | 'holes';
  seed?: number;
}

export function randomInput(shape: Shape): CoreInput {
  const { heads = 2, queries, dim = 8, valueDim = 6, seed = 1 } = shape;
  const { kvHeads = heads, keys = queries } = shape;
  return {
    heads,
    kvHeads,
    queries,
    keys,
    dim,
    valueDim,
    q: gaussians(heads * queries * dim, seed),
    k: gaussians(kvHeads * keys * dim, seed + 1),
    v: gaussians(kvHeads * keys * valueDim, seed + 2),
    rule: {
      scale: Float32Array.from({ length: heads }, (_, h) => (1 + h / 4) / Math.sqrt(dim)),
      softCap: shape.softCap ?? null,
      mask: { causal: shape.causal ?? false, window: shape.window ?? null, chunk: shape.chunk },
      bias: biasRule(shape.bias ?? 'none', heads, queries, keys, seed + 3),
    },
  };
}

function biasRule(
  kind: NonNullable<Shape['bias']>,
  heads: number,
  queries: number,
  keys: number,
  seed: number,
): BiasRule | null {
  switch (kind) {
    case 'none':
      return null;
    case 'alibi':
      return { kind: 'alibi', slopes: Float32Array.from({ length: heads }, (_, h) => 0.1 / (h + 1)) };
    case 'relative':
      return { kind: 'relative', table: gaussians(heads * 17, seed), size: 17, first: -10 };
    case 'opaque':
      return { kind: 'opaque', heads: 1, data: gaussians(queries * keys, seed) };
    case 'holes': {
      // Padding and holes: some pairs hidden, one query hidden from everything.
      const data = gaussians(heads * queries * keys, seed);
      for (let t = 0; t < data.length; t++) {
        if (t % 5 === 0 || Math.floor(t / keys) % queries === 3 % queries) data[t] = -Infinity;
      }
      return { kind: 'opaque', heads, data };
    }
  }
}
