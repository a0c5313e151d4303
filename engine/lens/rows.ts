import type { CoreInput } from '../attention/core';
import { denseOutput } from '../attention/dense';
import type { HiddenRows } from '../model/hidden';
import type { Cancellation } from '../runtime/cancellation';
import type { Analysis } from '../service/analysis';

/**
 * Rows of the residual stream before the wanted cores (and `output`, at the end), where they cross the cut by
 * themselves: the model runs once more on its dense cores.
 */
export async function residualRows(
  analysis: Analysis,
  wanted: readonly HiddenRows['at'][] | 'all',
  cancellation: Cancellation,
  onProgress: (fraction: number) => void,
): Promise<Map<HiddenRows['at'], { rows: Float32Array; width: number }>> {
  const found = new Map<HiddenRows['at'], { rows: Float32Array; width: number }>();
  const context = analysis.context(cancellation);
  await analysis.run((_, input) => denseOutput(input, context), {
    cancellation,
    onSegment: onProgress,
    onHidden: ({ at, data, width }) => {
      // The runner's tensors are its own: what is kept is copied.
      if (wanted === 'all' || wanted.includes(at)) found.set(at, { rows: data.slice(), width });
    },
  });
  return found;
}

/** What the heads of a core hand on, side by side: [heads, queries, valueDim] as [queries, heads x valueDim]. */
export function sideBySide(
  { heads, queries, valueDim }: CoreInput,
  output: Float32Array,
): { rows: Float32Array; width: number } {
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
