import type { Quantiles } from '../../shared/protocol/engine';

export interface Distribution {
  mean: number;
  /** Nearest rank. */
  quantiles: Quantiles;
}

/** Mean and quantiles of the values that are not negative; all 0 when there are none. */
export function distribution(values: Float32Array): Distribution {
  const sorted = values.filter(value => value >= 0).sort();
  const mean = sorted.length === 0 ? 0 : sorted.reduce((a, b) => a + b, 0) / sorted.length;
  return { mean, quantiles: quantilesOf(share => sorted[rankOf(share, sorted.length)] ?? 0) };
}

/** The same of whole numbers, by counting: many values, and none of them large. */
export function countedDistribution(values: Float32Array): Distribution {
  let total = 0;
  let sum = 0;
  let largest = 0;
  for (const value of values) {
    if (value < 0) continue;
    total++;
    sum += value;
    largest = Math.max(largest, value);
  }
  const counts = new Uint32Array(largest + 1);
  for (const value of values) if (value >= 0) counts[value]!++;
  const at = (share: number) => {
    let before = counts[0]!;
    let value = 0;
    for (const rank = rankOf(share, total); before <= rank && value < largest;) before += counts[++value]!;
    return value;
  };
  return { mean: total === 0 ? 0 : sum / total, quantiles: quantilesOf(at) };
}

const rankOf = (share: number, count: number) => Math.max(0, Math.ceil(share * count) - 1);

function quantilesOf(at: (share: number) => number): Quantiles {
  return { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) };
}
