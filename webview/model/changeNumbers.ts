import type { RunEffect } from '../../shared/protocol/engine';
import { number } from '../../shared/numbers';
import { t } from '../host/words';

export interface Concentration {
  /** Tokens that share half of the increase between them. */
  tokens: number;
  of: number;
}

/** How few tokens carry half of what grows; null where nothing does. */
export function concentration({ perToken }: RunEffect): Concentration | null {
  const worse = Float64Array.from(perToken.filter(change => change > 0))
    .sort()
    .reverse();
  const half = worse.reduce((sum, change) => sum + change, 0) / 2;
  if (half === 0) return null;
  let sum = 0;
  let tokens = 0;
  while (sum < half) sum += worse[tokens++]!;
  return { tokens, of: perToken.length };
}

/** "+1.31 nats" of a loss, "0.02" of a turned output. */
export function changeInWords(value: number, measure: RunEffect['measure']): string {
  // Below this it is the rounding of the model's own float32.
  if (Math.abs(value) < 5e-5) value = 0;
  if (measure === 'output') return number(value);
  return t('{0}{1} nats', value > 0 ? '+' : '', number(value));
}
