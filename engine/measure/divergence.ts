import type { SparseRow } from '../attention/mechanism';

/** Float32 log-sum-exps stand behind the mass, float64 rows behind the divergence. */
const TOLERANCE = 1e-3;

/** KL divergence of a mechanism's row from the dense one, nats. */
export interface Divergence {
  /** KL(row || dense), the row taken to sum 1; null where a weight is negative. */
  kl: number | null;
  /** Mean log of the soft mask under the row's weights, 0 for hard sets. */
  logMask: number;
}

/**
 * `logDense(key)`: log of the dense probability. A weight on a key that the dense row does not see makes it infinite.
 * @returns null for a row without any weight.
 */
export function divergence(row: SparseRow, logDense: (key: number) => number): Divergence | null {
  const { keys, weights, mask } = row;
  let sum = 0;
  for (const weight of weights) {
    if (weight < 0) return { kl: null, logMask: 0 };
    sum += weight;
  }
  if (sum === 0) return null;
  let kl = 0;
  let logMask = 0;
  for (let t = 0; t < keys.length; t++) {
    const weight = weights[t]! / sum;
    if (weight === 0) continue;
    kl += weight * (Math.log(weight) - logDense(keys[t]!));
    if (mask) logMask += weight * Math.log(mask[t]!);
  }
  return { kl, logMask };
}

/**
 * A row that is the kept dense probabilities, times the soft mask, renormalised has KL = -log(mass) + mean log mask
 * exactly. `logMass` comes from the log-sum-exps of the mechanism's and of the dense run, so the two check each other.
 */
export function breaksIdentity({ kl, logMask }: Divergence, logMass: number): boolean {
  if (kl === null) return true;
  return !(Math.abs(kl + logMass - logMask) <= TOLERANCE * Math.max(1, Math.abs(logMass)));
}
