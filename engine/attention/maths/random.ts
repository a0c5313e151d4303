import { seededUniform } from '../../../shared/random';

/** Seeded normal numbers by Box-Muller, two per pair of uniforms, so that rotations and projections can be told by their seed. */
export function seededGaussians(length: number, seed: number): Float32Array {
  const uniform = seededUniform(seed);
  const values = new Float32Array(length);
  for (let t = 0; t < length; t += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    values[t] = radius * Math.cos(angle);
    if (t + 1 < length) values[t + 1] = radius * Math.sin(angle);
  }
  return values;
}
