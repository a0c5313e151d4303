import { blockedOf } from './blocked';
import type { BiasRule, CoreInput, NativeAttention } from '../core';
import { kvHead } from '../core';

/**
 * The same core with some of its heads only, in the given order; each has a key/value head of its own.
 * Of a single head nothing is copied.
 */
export function someHeads(input: CoreInput, heads: readonly number[]): CoreInput {
  const { queries, keys, dim, valueDim, rule } = input;
  const kv = heads.map(head => kvHead(input, head));
  return {
    ...input,
    ...(input.native && { native: someNative(input.native, heads, queries * valueDim) }),
    heads: heads.length,
    kvHeads: heads.length,
    q: planes(input.q, heads, queries * dim),
    k: planes(input.k, kv, keys * dim),
    v: planes(input.v, kv, keys * valueDim),
    rule: {
      ...rule,
      scale: planes(rule.scale, heads, 1),
      ...(rule.sink && { sink: planes(rule.sink, heads, 1) }),
      bias: rule.bias && someBias(rule.bias, heads, queries * keys),
      blocked: rule.blocked && blockedOf(rule.blocked, heads),
    },
  };
}

const someNative = (native: NativeAttention, heads: readonly number[], size: number): NativeAttention => ({
  output: planes(native.output, heads, size),
  map: () => someHeads(native.map(), heads),
});

function someBias(bias: BiasRule, heads: readonly number[], pairs: number): BiasRule {
  switch (bias.kind) {
    case 'alibi':
      return { ...bias, slopes: planes(bias.slopes, heads, 1) };
    case 'relative':
      return { ...bias, table: planes(bias.table, heads, bias.size) };
    case 'opaque':
      return bias.heads === 1
        ? bias
        : { ...bias, heads: heads.length, data: planes(bias.data, heads, pairs) };
  }
}

/** The planes `which` of [planes, size], one after another. */
function planes(data: Float32Array, which: readonly number[], size: number): Float32Array {
  const [first = 0] = which;
  if (which.every((plane, at) => plane === first + at)) {
    return data.subarray(first * size, (first + which.length) * size);
  }
  const result = new Float32Array(which.length * size);
  which.forEach((plane, at) => result.set(data.subarray(plane * size, (plane + 1) * size), at * size));
  return result;
}
