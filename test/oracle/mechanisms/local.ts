import type { MaskOracle } from '../edges';

/** Sparse Transformer, section 4.2. */
export const oracle: MaskOracle =
  (_input, { window }) =>
  (_h, p, j) =>
    Math.abs(p - j) < Number(window) ? 1 : 0;
