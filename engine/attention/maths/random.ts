/**
 * Seeded random numbers, the same on every machine, so that rotations and projections can be told by their seed.
 * Generator: mulberry32 (a counter with a 32-bit mixer); normal numbers by Box-Muller, two per pair of uniforms.
 */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

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
