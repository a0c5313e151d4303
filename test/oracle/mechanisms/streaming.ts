import type { MaskOracle } from '../edges';

/** Efficient Streaming Language Models with Attention Sinks, section 3: the first tokens and the latest. */
export const oracle: MaskOracle =
  (_input, { sinks, window }) =>
  (_h, p, j) =>
    j < Number(sinks) || Math.abs(p - j) < Number(window) ? 1 : 0;
