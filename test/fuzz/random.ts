export { seededUniform as seeded } from '../../shared/random';

/** A stream of values in [0, 1). */
export type Random = () => number;

/** A whole number from 0 to below `count`. */
export const below = (random: Random, count: number): number => Math.floor(random() * count);

export const oneOf = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;
