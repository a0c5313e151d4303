import type { CoreInput } from '../attention/core';
import type { Analysis, CoreTensors } from '../service/analysis';

export interface Rows {
  rows: Float32Array;
  width: number;
}

/**
 * Rows of the residual stream before one core, null where they do not cross the cut by themselves; and the core's tensors.
 * A control that moves asks for the same again and again.
 */
export function residualBefore(
  analysis: Analysis,
  core: number,
  signal: AbortSignal,
): Promise<{ residual: Rows | null; tensors: CoreTensors }> {
  const make = async (own: AbortSignal) => {
    let residual: Rows | null = null;
    let found: CoreTensors | null = null;
    await analysis.visitAlone([core], (_, tensors) => void (found = tensors), own, {
      onHidden: ({ at, data, width }) => {
        // The rows are the runner's own.
        if (at === core) residual = { rows: data.slice(), width };
      },
    });
    return { residual, tensors: found! };
  };
  return analysis.shared(`residual|${core}`, make, signal);
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
