import type { MaskOracle } from '../edges';

/** Generating Wikipedia by Summarizing Long Sequences: blocks that attend within themselves. */
export const oracle: MaskOracle =
  (_input, { chunk }) =>
  (_h, p, j) =>
    Math.floor(p / Number(chunk)) === Math.floor(j / Number(chunk)) ? 1 : 0;
