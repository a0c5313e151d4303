import { seededUniform } from '../../shared/random';

/** Seeded pseudo-random numbers (mulberry32), so that a failing test fails again. */
export function random(seed: number): { uniform(): number; normal(): number } {
  const uniform = seededUniform(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}
