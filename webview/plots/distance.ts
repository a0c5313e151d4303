import { count } from '../../shared/numbers';
import type { HeadProfile } from '../../shared/protocol/engine';
import { t } from '../host/words';

/** One bin of a head's mass by distance. */
export interface DistanceBin {
  /** Distances from .. to-1, in tokens. */
  from: number;
  to: number;
  mass: number;
  /** Mean mass of one distance in the bin. */
  density: number;
  /** Mass at distances below `to`. */
  cumulative: number;
}

export function distanceBins(profile: HeadProfile): DistanceBin[] {
  const { edges, mass } = profile.distance;
  let cumulative = 0;
  return Array.from(mass, (m, b) => {
    const from = edges[b]!;
    const to = edges[b + 1] ?? from + 1;
    cumulative += m;
    return { from, to, mass: m, density: m / Math.max(1, to - from), cumulative };
  });
}

/** Where a bin stands on a logarithmic axis that has room for distance 0: distance + 1, geometric middle. */
export function binMiddle(bin: DistanceBin): number {
  return Math.sqrt((bin.from + 1) * Math.max(bin.from + 1, bin.to));
}

/** The soft mask of adaptive span: clamp((ramp + span - distance) / ramp, 0, 1) (Sukhbaatar et al. 2019, section 3.2). */
export function softMask(distance: number, span: number, ramp: number): number {
  return Math.max(0, Math.min(1, (ramp + span - distance) / ramp));
}

/** Mass outside the mask, from the bins: each bin's mass counted at its middle distance. */
export function massOutside(bins: DistanceBin[], span: number, ramp: number): number {
  return bins.reduce(
    (sum, bin) => sum + bin.mass * (1 - softMask((bin.from + bin.to - 1) / 2, span, ramp)),
    0,
  );
}

export function distanceWords(from: number, to: number): string {
  return to - from <= 1
    ? t('distance {0}', count(from))
    : t('distances {0} to {1}', count(from), count(to - 1));
}
