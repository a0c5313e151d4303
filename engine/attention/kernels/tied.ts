import { kvHead, type CoreInput } from '../core';
import { flagOf } from '../../../shared/setting';
import type { MechanismParams } from '../../../shared/protocol/engine';

/** Rows at unit length (zeros stay zeros), [rows, width]. */
export function unitRows(data: Float32Array, width: number): Float32Array {
  const unit = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) {
    let squares = 0;
    for (let c = 0; c < width; c++) squares += data[at + c]! * data[at + c]!;
    const factor = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (let c = 0; c < width; c++) unit[at + c] = data[at + c]! * factor;
  }
  return unit;
}

/**
 * The input with keys tied to the queries (shared QK): the key of a token is its query at unit length. Every head
 * then has keys of its own, so grouped values are repeated.
 */
export function tieKeys(input: CoreInput): CoreInput {
  const { heads, keys, valueDim } = input;
  const size = keys * valueDim;
  let v = input.v;
  if (input.kvHeads !== heads) {
    v = new Float32Array(heads * size);
    for (let h = 0; h < heads; h++) {
      const kv = kvHead(input, h);
      v.set(input.v.subarray(kv * size, (kv + 1) * size), h * size);
    }
  }
  return { ...input, kvHeads: heads, k: unitRows(input.q, input.dim), v };
}

/** Added to a token's score with itself when keys are tied: used only if it sees nothing else. */
export const SELF_AS_LAST_RESORT = -5e4;

/** Why this input cannot be tied though `sharedQK` asks for it, or null. */
export function refusesTie(input: CoreInput, params: MechanismParams): string | null {
  return flagOf(params, 'sharedQK') && input.queries !== input.keys
    ? 'Shared queries and keys need as many queries as keys.'
    : null;
}
