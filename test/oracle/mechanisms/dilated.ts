import type { MaskOracle } from '../edges';

/** Longformer, section 3.1: a sliding window with gaps, `window` steps on each side. */
export const oracle: MaskOracle =
  (_input, { window, dilation }) =>
  (_h, p, j) =>
    (p - j) % Number(dilation) === 0 && Math.abs(p - j) / Number(dilation) <= Number(window) ? 1 : 0;
