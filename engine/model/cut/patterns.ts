/** Masks of positions alone that keep the pairs of one of our mechanisms, recognised by what they show at one length. */
import { holds } from '../../attention/mask';
import { findMechanism } from '../../attention/registry';
import type { CoreInput } from '../../attention/core';
import type { LogitRows } from './chain';
import type { ProbedRule } from './probe';
import type { MechanismParams } from '../../../shared/setting';

/** Some rows of a mask, of a text whose queries are its keys. */
export interface SeenRows {
  rows: Int32Array;
  keys: number;
  causal: boolean;
  logits: LogitRows;
}

/** Logits below this are masks. */
const MASKED = -9999;

/** Name and settings of the mechanism that keeps the very pairs which these rows show in every head; null = none does. */
export function patternOf(seen: SeenRows): ProbedRule['made'] | null {
  const last = seen.rows.length - 1;
  const sees = (key: number) => key >= 0 && key < seen.keys && isSeen(seen, 0, last, key);
  const guesses = [strided, fixed, dilated, longformer].flatMap(guess => guess(seen, sees) ?? []);
  return guesses.find(guess => fits(seen, guess)) ?? null;
}

type Guess = NonNullable<ProbedRule['made']> & { params: MechanismParams };
/** What the last row would say of a mechanism. `sees`: whether it sees a key. */
type Guesser = (seen: SeenRows, sees: (key: number) => boolean) => Guess | null;

/** Up to the stride, and its multiples: the first distance that is not seen is one further. */
const strided: Guesser = ({ keys }, sees) => {
  let distance = 0;
  while (distance < keys && sees(keys - 1 - distance)) distance++;
  return distance > 2 && distance < keys ? { name: 'strided', params: { stride: distance - 1 } } : null;
};

/** The first keys that are seen are the end of the first block. */
const fixed: Guesser = ({ keys }, sees) => {
  let from = 0;
  while (from < keys && !sees(from)) from++;
  let to = from;
  while (to < keys && sees(to)) to++;
  return from > 0 && to < keys ? { name: 'fixed', params: { block: to, summary: to - from } } : null;
};

/** Every so many keys, within a window. */
const dilated: Guesser = ({ keys }, sees) => {
  const at = keys - 1;
  let dilation = 1;
  while (dilation < keys && !sees(at - dilation)) dilation++;
  let window = 0;
  while (sees(at - (window + 1) * dilation)) window++;
  return dilation > 1 && window > 0 ? { name: 'dilated', params: { window, dilation } } : null;
};

/** A window on both sides, and tokens that see all and are seen by all: told by a row in the middle. */
const longformer: Guesser = seen => {
  if (seen.causal) return null;
  const { rows, keys } = seen;
  const everywhere = Array.from({ length: keys }, (_, key) => key).filter(key =>
    rows.every((_, r) => isSeen(seen, 0, r, key)),
  );
  const r = rows.findIndex(row => row > keys / 2);
  if (everywhere.length === 0 || everywhere.length === keys || r < 0) return null;
  let window = 0;
  while (isSeen(seen, 0, r, rows[r]! - window - 1)) window++;
  return { name: 'longformer', params: { window, globals: everywhere.join(',') } };
};

function isSeen(
  { rows, keys, logits: { data } }: SeenRows,
  plane: number,
  row: number,
  key: number,
): boolean {
  return data[(plane * rows.length + row) * keys + key]! > MASKED;
}

/** Whether these rows keep the pairs of our mechanism and no others, in every head. */
function fits(seen: SeenRows, { name, params }: Guess): boolean {
  const { rows, keys, causal, logits } = seen;
  const rule = findMechanism(name).rule!({ keys, queries: keys } as CoreInput, params);
  for (let plane = 0; plane < logits.planes; plane++)
    for (const [r, row] of rows.entries())
      for (let key = 0; key < keys; key++)
        if (isSeen(seen, plane, r, key) !== ((!causal || key <= row) && holds(rule, row, key))) return false;
  return true;
}
