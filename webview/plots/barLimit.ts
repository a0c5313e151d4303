/** Where the axis ends: at the largest value, or at four times the middle one where that is less. */
export function barLimit(values: readonly number[]): number {
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  const middle = sizes[Math.floor((sizes.length - 1) / 2)] ?? 0;
  return Math.max(1e-9, Math.min(Math.max(...values), 4 * middle));
}
