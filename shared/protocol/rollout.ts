/** Where what a token holds behind the last layer came from, by attention alone. */
import type { Side } from './text';

export interface RolloutParams {
  id: string;
  /** Tokens of the side, counted from 0. */
  tokens: number[];
  /** Of an encoder-decoder: the text whose self-attention is followed. Default: the analysed text. */
  side?: Side;
}

export interface Rollout {
  /** The cores that were multiplied, in the order of the model. */
  cores: number[];
  /**
   * For each of the tokens [length of the side]: shares that sum to 1. The product of (A + I) / 2 over the cores, A the mean over a
   * core's heads, its rows made to sum to 1 where heads give less (Abnar and Zuidema, 2020).
   */
  rows: Float32Array[];
}

export interface RolloutRequests {
  /** Attention rollout of some tokens: how much of each other token their row holds, where attention alone mixes tokens. */
  'analysis/rollout': { params: RolloutParams; result: Rollout };
}
