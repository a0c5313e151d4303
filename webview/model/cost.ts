import type { CostCurve, CostPoint } from '../../shared/protocol/engine';
import { number } from '../../shared/numbers';

export type CostMeasure = 'time' | 'memory' | 'pairs' | 'flops' | 'blocks' | 'kv';

/** Counted in the runs that are timed, where a mechanism has no formula for it. */
export const isCounted = (measure: CostMeasure): measure is 'blocks' | 'kv' =>
  measure === 'blocks' || measure === 'kv';

const NARROW = '\u202f';

/** 12.6 MB, 2.42 GB: powers of 1,000. */
export function bytes(value: number): string {
  return scaled(value, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
}

/** 3.2 million operations as 3.2 M, up to P. */
export function operations(value: number): string {
  return scaled(value, ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y']);
}

export function milliseconds(value: number): string {
  if (value >= 600_000) return `${number(value / 60_000)}${NARROW}min`;
  if (value >= 1000) return `${number(value / 1000)}${NARROW}s`;
  return value >= 0.1 ? `${number(value)}${NARROW}ms` : `${number(value * 1000)}${NARROW}µs`;
}

function scaled(value: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return '–';
  let at = 0;
  let rest = value;
  while (rest >= 999.5 && at < units.length - 1) {
    rest /= 1000;
    at++;
  }
  const unit = units[at]!;
  return unit ? `${number(rest)}${NARROW}${unit}` : number(rest);
}

/** A quantity with its unit. */
export function costWords(value: number, measure: CostMeasure): string {
  switch (measure) {
    case 'time':
      return milliseconds(value);
    case 'memory':
    case 'kv':
      return bytes(value);
    default:
      return operations(value);
  }
}

// ---------------------------------------------------------------- time by formula

/** Time = overhead + operations x perOperation, both at least 0, fitted to measured points by relative least squares. */
export interface TimeFit {
  overhead: number;
  perOperation: number;
}

export function fitTime(points: readonly { operations: number; milliseconds: number }[]): TimeFit | null {
  if (points.length === 0) return null;
  // Minimises sum ((a + b f - t) / t)^2.
  let [s1, sf, sff, st, sft] = [0, 0, 0, 0, 0];
  for (const { operations: f, milliseconds: t } of points) {
    s1 += 1 / (t * t);
    sf += f / (t * t);
    sff += (f * f) / (t * t);
    st += 1 / t;
    sft += f / t;
  }
  const determinant = s1 * sff - sf * sf;
  const both =
    determinant > 1e-12 * s1 * sff
      ? { overhead: (st * sff - sft * sf) / determinant, perOperation: (s1 * sft - sf * st) / determinant }
      : { overhead: -1, perOperation: -1 };
  if (both.overhead >= 0 && both.perOperation >= 0) return both;
  const through = { overhead: 0, perOperation: sft / sff };
  const flat = { overhead: st / s1, perOperation: 0 };
  const error = (fit: TimeFit) =>
    points.reduce(
      (sum, p) =>
        sum + ((fit.overhead + fit.perOperation * p.operations - p.milliseconds) / p.milliseconds) ** 2,
      0,
    );
  return error(through) <= error(flat) ? through : flat;
}

/** A quantity of a curve between two of its lengths, as a power law. */
export function at(lengths: readonly number[], values: readonly number[], tokens: number): number {
  let right = lengths.findIndex(n => n >= tokens);
  if (right < 0) right = lengths.length - 1;
  if (lengths[right] === tokens || right === 0) return values[right]!;
  const [n0, n1] = [lengths[right - 1]!, lengths[right]!];
  const t = Math.log(tokens / n0) / Math.log(n1 / n0);
  return values[right - 1]! ** (1 - t) * values[right]! ** t;
}

// ---------------------------------------------------------------- crossing

export interface Crossing {
  /** From this length on the mechanism is faster; 0 = at all lengths that were looked at. */
  tokens: number;
  how: 'measured' | 'extrapolated';
}

/**
 * Where a mechanism begins to beat dense: between measured lengths on the lines through the points, beyond the longest
 * by the fitted formulas. null = not up to the end of the grid.
 */
export function crossing(
  lengths: readonly number[],
  dense: { curve: CostCurve; points: readonly CostPoint[]; fit: TimeFit | null },
  other: { curve: CostCurve; points: readonly CostPoint[]; fit: TimeFit | null },
): Crossing | null {
  const lead = other.points
    .flatMap(p => {
      const same = dense.points.find(d => d.tokens === p.tokens);
      return same
        ? [{ tokens: p.tokens, log: Math.log(p.milliseconds.median / same.milliseconds.median) }]
        : [];
    })
    .sort((a, b) => a.tokens - b.tokens);
  const last = lead.at(-1);
  if (!last || !dense.fit || !other.fit) return null;
  if (last.log < 0) {
    for (let t = lead.length - 2; t >= 0; t--) {
      const [p, q] = [lead[t]!, lead[t + 1]!];
      if (p.log < 0) continue;
      const share = p.log / (p.log - q.log);
      return { tokens: p.tokens * (q.tokens / p.tokens) ** share, how: 'measured' };
    }
    return { tokens: 0, how: 'measured' };
  }
  const time = (fit: TimeFit, curve: CostCurve, t: number) =>
    fit.overhead + fit.perOperation * curve.flops[t]!;
  for (let t = 0; t < lengths.length; t++) {
    if (lengths[t]! <= last.tokens) continue;
    if (time(other.fit, other.curve, t) < time(dense.fit, dense.curve, t)) {
      return { tokens: lengths[t]!, how: 'extrapolated' };
    }
  }
  return null;
}
