import type { MaskOracle } from '../edges';

/** Longformer, section 3.1: a window on each side, and tokens that see and are seen by all. */
export const oracle: MaskOracle = (_input, { window, globals }) => {
  const global = new Set(String(globals).split(',').filter(Boolean).map(Number));
  return (_h, p, j) => (Math.abs(p - j) <= Number(window) || global.has(p) || global.has(j) ? 1 : 0);
};
