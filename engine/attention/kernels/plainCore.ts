import type { CoreInput } from '../core';

/** Why a mechanism that replaces the whole map cannot take this core's own score rule, or null. */
export function refusesRule(title: string, input: CoreInput): string | null {
  const { bias, softCap, mask, blocked } = input.rule;
  if (blocked) return `${title} computes no single pairs, so none can be blocked in its heads.`;
  if (bias) return `${title} has no place for a bias on the scores.`;
  if (softCap !== null) return `${title} has no place for a cap on the scores.`;
  if (mask.chunk !== undefined) return `${title} has no place for attention in chunks.`;
  if (mask.streaming) return `${title} has no place for a window beside the first tokens.`;
  if (mask.window) return `${title} has no place for a window mask.`;
  return null;
}
