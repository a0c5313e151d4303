import { entmax } from '../attention/maths/entmaxRow';
import type { SparseRow } from '../attention/mechanism';

/**
 * Which keys a query needs, by two rules: those that 1.5-entmax gives any weight, and the fewest that hold 95 % of the
 * softmax's mass (SparseFinder, Treviso et al. 2022, compares with the former; top-p is the latter).
 */
export const TOP_P = 0.95;

/** Indices into `scores` with a 1.5-entmax weight above 0; -Infinity is no score. */
export function entmaxKeys(scores: Float64Array): Int32Array {
  const weights = entmax(scores, 1.5);
  return Int32Array.from(weights.keys()).filter(t => weights[t]! > 0);
}

/** Indices of the fewest values that add up to TOP_P of all, the lower index first on ties. */
export function topPKeys(probabilities: Float64Array): Int32Array {
  const sorted = probabilities.slice().sort().reverse();
  let mass = 0;
  let count = 0;
  while (count < sorted.length && sorted[count]! > 0 && mass < TOP_P) mass += sorted[count++]!;
  // The values above the last one taken, and as many of those equal to it as are left to take.
  const last = sorted[count - 1]!;
  let ties = count - sorted.findIndex(value => value <= last);
  const keys = new Int32Array(count);
  let found = 0;
  for (let t = 0; found < count; t++) {
    if (probabilities[t]! > last || (probabilities[t] === last && ties-- > 0)) keys[found++] = t;
  }
  return keys;
}

/** Counts the pairs of a graph and those of them that a mechanism keeps. */
export class EdgeRecall {
  pairs = 0;
  kept = 0;

  /** One query: its keys in the graph, and the mechanism's row. */
  add(graph: Int32Array, row: SparseRow): void {
    const keys = new Set<number>();
    row.keys.forEach((key, t) => {
      if (t >= (row.pooled ?? 0) && (row.mask?.[t] ?? row.weights[t]!) > 0) keys.add(key);
    });
    this.pairs += graph.length;
    for (const key of graph) if (keys.has(key)) this.kept++;
  }

  /** Null when the graph has no pairs. */
  get recall(): number | null {
    return this.pairs === 0 ? null : this.kept / this.pairs;
  }
}
