import type { Quantiles } from '../protocol';

/** Mean and quantiles (nearest rank) of the values that are not negative; all 0 when there are none. */
export function distribution(values: Float32Array): { mean: number; quantiles: Quantiles } {
  const sorted = values.filter(value => value >= 0).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return {
    mean: sorted.length === 0 ? 0 : sorted.reduce((a, b) => a + b, 0) / sorted.length,
    quantiles: { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) },
  };
}
