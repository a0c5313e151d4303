import { blockedOf } from './blocked';
import { someAttended } from '../attended';
import type { BiasRule, CoreInput, NativeAttention } from '../core';
import { kvHead } from '../core';
import { planes } from './planes';

/**
 * The same core with some of its heads only, in the given order; each has a key/value head of its own.
 * Of a single head nothing is copied.
 */
export function someHeads(input: CoreInput, heads: readonly number[]): CoreInput {
  const { queries, keys, dim, valueDim, rule } = input;
  const kv = heads.map(head => kvHead(input, head));
  return {
    ...input,
    ...(input.native && { native: someNative(input.native, heads, input) }),
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

const someNative = (
  native: NativeAttention,
  heads: readonly number[],
  sides: { queries: number; valueDim: number },
): NativeAttention => ({
  setting: native.setting,
  attended: someAttended(native.attended, heads, sides),
  map: () => someHeads(native.map(), heads),
  partOf: at => native.partOf(heads[at]!),
  tied: heads.flatMap((head, at) => (native.tied.includes(head) ? [at] : [])),
  ...(native.without && {
    without: async blocked => {
      const inAll = blocked.map(pairs => ({
        ...pairs,
        head: pairs.head === null ? null : heads[pairs.head]!,
      }));
      return planes(await native.without!(inAll), heads, sides.queries * sides.valueDim);
    },
  }),
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
