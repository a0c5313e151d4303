/** A stream of values in [0, 1). */
export type Random = () => number;

/** Mulberry32: small, seedable, good enough to choose places and bytes; the same on every machine. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to below `count`. */
export const below = (random: Random, count: number): number => Math.floor(random() * count);

export const oneOf = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;
