import type { CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import type { HiddenRows } from '../model/cut/hidden';
import type { Analysis } from '../service/analysis';

/**
 * Rows of the residual stream before each core (and `output`, at the end), where they cross the cut by themselves: the
 * model runs once more on its dense cores. The rows are the runner's own: what is kept of them must be copied.
 */
export async function eachResidual(
  analysis: Analysis,
  visit: (hidden: HiddenRows) => void,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const context = analysis.context(signal);
  await analysis.run((_, input) => denseOutput(input, context), {
    signal,
    onSegment: onProgress,
    onHidden: visit,
  });
}

export interface Rows {
  rows: Float32Array;
  width: number;
}

/** The last rows asked for of each analysis: a control that moves asks for the same again and again. */
const latest = new WeakMap<Analysis, { core: number; found: Rows | null }>();

/** Rows of the residual stream before one core; null where they do not cross the cut by themselves. */
export async function residualBefore(
  analysis: Analysis,
  core: number,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Rows | null> {
  const known = latest.get(analysis);
  if (known?.core === core) return known.found;
  const stop = new Error('reached the core');
  let found: Rows | null = null;
  const visit = ({ at, data, width }: HiddenRows) => {
    if (at !== core) return;
    found = { rows: data.slice(), width };
    throw stop;
  };
  try {
    await eachResidual(analysis, visit, signal, onProgress);
  } catch (error) {
    if (error !== stop) throw error;
  }
  latest.set(analysis, { core, found });
  return found;
}

/** What the heads of a core hand on, side by side: [heads, queries, valueDim] as [queries, heads x valueDim]. */
export function sideBySide({ heads, queries, valueDim }: CoreInput, output: Float32Array): Rows {
  const width = heads * valueDim;
  const rows = new Float32Array(queries * width);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < queries; i++) {
      const from = (h * queries + i) * valueDim;
      rows.set(output.subarray(from, from + valueDim), i * width + h * valueDim);
    }
  }
  return { rows, width };
}

/** Mean cosine between different rows: 1 = all rows point the same way. */
export function meanCosine(rows: Float32Array, width: number): number {
  const count = rows.length / width;
  if (count < 2) return 1;
  const sum = new Float64Array(width);
  let units = 0;
  for (let at = 0; at < rows.length; at += width) {
    let squares = 0;
    for (let c = 0; c < width; c++) squares += rows[at + c]! ** 2;
    if (squares === 0) continue;
    units++;
    const norm = Math.sqrt(squares);
    for (let c = 0; c < width; c++) sum[c]! += rows[at + c]! / norm;
  }
  // |sum of units|^2 = the sum of all cosines, the rows' own (1 each) included.
  const all = sum.reduce((total, x) => total + x * x, 0);
  return (all - units) / (count * (count - 1));
}
