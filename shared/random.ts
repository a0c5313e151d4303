/**
 * Seeded random numbers, the same on every machine: mulberry32 (a counter with a 32-bit mixer), evenly spread over [0, 1).
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

/** Seeds of what is drawn at random beside the mechanisms, whose seeds are parameters. The probe's is chosen by the caller. */
export const SEEDS = {
  /** Blocks of the intervals. */
  bootstrap: 1,
  /** Assignments that a plan is compared with. */
  randomPlans: 1,
  /** Queries among which a head's outputs are dealt out. */
  resample: 1,
  /** Queries, keys and values on which costs are measured: this and the next two. */
  costTensors: 1,
  /** Queries whose rows are computed where there is no dense pass. */
  sampledQueries: 1,
} as const;
