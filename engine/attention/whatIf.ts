import { kvHead, plainCore, type BiasRule, type CoreInput } from './core';
import type { Mechanism } from './mechanism';
import type { MechanismParams } from '../../shared/protocol/engine';
import { SELF_AS_LAST_RESORT, tieKeys } from './kernels/tied';

/**
 * The core as scores and softmax alone: what a mechanism stands in for. The scores are the model's own: where it was made with keys
 * tied to queries, the key of a token is its query at unit length, and it sees itself only as a last resort.
 */
export function withoutNative(input: CoreInput): CoreInput {
  const plain = plainCore(input);
  const tied = new Set(input.native?.tied);
  if (tied.size === 0) return plain;
  const { heads, keys, dim } = input;
  const core = tieKeys(plain);
  // Heads of the same core that have keys of their own keep them.
  for (let head = 0; head < heads; head++) {
    if (tied.has(head)) continue;
    const kv = kvHead(input, head);
    core.k.set(input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim), head * keys * dim);
  }
  return { ...core, rule: { ...core.rule, bias: selfLast(heads, head => tied.has(head)) } };
}

/** The same for one mechanism: those that have no score of a single pair (Performer, Linformer) let a token see itself like others. */
export function standIn(input: CoreInput, mechanism: Mechanism, params: MechanismParams): CoreInput {
  const core = withoutNative(input);
  if (core.rule === input.rule || !mechanism.refuses?.(core, params)) return core;
  return { ...core, rule: { ...core.rule, bias: input.rule.bias } };
}

/**
 * The core without what its model's graph adds to the scores (a mask of tokens or positions, terms of relative positions): what if
 * this head saw everything. A token that saw itself only where it saw nothing else still does.
 */
export function seesAll(input: CoreInput): CoreInput {
  const { heads, rule } = input;
  const last = Array.from({ length: heads }, (_, head) => isSelfLast(input, head));
  return {
    ...input,
    rule: { ...rule, bias: last.includes(true) ? selfLast(heads, head => last[head]!) : null },
  };
}

/** Nothing to add but to a token's score with itself. */
function selfLast(heads: number, isTied: (head: number) => boolean): BiasRule {
  const table = new Float32Array(3 * heads);
  for (let head = 0; head < heads; head++) if (isTied(head)) table[3 * head + 1] = SELF_AS_LAST_RESORT;
  return { kind: 'relative', table, size: 3, first: -1 };
}

/** Added to a score that is to count for nothing beside others. */
const FOR_NOTHING = -9999;

/** Whether the bias hides every token from itself that sees another. */
function isSelfLast({ rule: { bias }, queries, keys }: CoreInput, head: number): boolean {
  if (bias?.kind !== 'opaque' || queries !== keys) return false;
  const plane = (bias.heads === 1 ? 0 : head) * queries * keys;
  let found = false;
  for (let i = 0; i < queries; i++) {
    const row = plane + i * keys;
    const itself = bias.data[row + i]!;
    let others = false;
    for (let j = 0; j < keys && !others; j++) others = j !== i && bias.data[row + j]! > FOR_NOTHING;
    if (!others) continue;
    if (!(itself < FOR_NOTHING)) return false;
    found = true;
  }
  return found;
}
