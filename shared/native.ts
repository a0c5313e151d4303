import type { CoreAttention } from './protocol/models';

/** What a model was made with in a core, in words; null for dense attention. */
export function nativeWords(attention: CoreAttention | undefined): string | null {
  return attention?.native ? `native: ${attention.name}` : null;
}

/** What a head of a native core learned under this name (`span`, `alpha`), or null. */
export function learnedNumber(
  attention: CoreAttention | undefined,
  name: string,
  head: number,
): number | null {
  const values = attention?.params[name];
  return Array.isArray(values) ? (values[head] ?? null) : null;
}
