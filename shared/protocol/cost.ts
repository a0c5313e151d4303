/** What things cost: formulas, measurements on this machine, and the share of attention in a whole forward. */
import type { Setting } from './mechanisms';
import type { DeviceName } from './models';

/** `exact`; `expected` of a text without structure; `most` = no more than that. */
export type CountKind = 'exact' | 'expected' | 'most';

export interface CostFormulaParams {
  id: string;
  /** The core whose head shape is taken. */
  core: number;
  mechanisms: Setting[];
  /** Text lengths in tokens. */
  lengths: number[];
}

/** One head under one mechanism by formula; entry t is for `lengths[t]`. */
export interface CostCurve {
  /** With the parameters that were taken. */
  choice: Setting;
  count: CountKind;
  pairs: number[];
  /** Where spans were fitted to a text: pairs if the spans that it cuts off grow least and most; the same up to its length. */
  range?: { low: number[]; high: number[] };
  /** Floating-point operations; a multiplication and an addition are two. */
  flops: number[];
  /** float32 bytes of all weights and helpers at once; the engine itself works in blocks and holds less. */
  bytes: number[];
  /**
   * Blocks of 128 x 128 with any pair, and the most keys that are held at once (as budgets count them): of dense attention, which has a
   * formula. Of all others they are counted in runs (`CostPoint`).
   */
  blocks?: number[];
  held?: number[];
  /** Why the mechanism cannot serve this model's heads, or null. */
  refused: string | null;
}

export interface CostFormulas {
  shape: HeadShape;
  /** Bytes of a key and its value in the cache, in 16 bits: each head's part of what those that share them hold. */
  keyBytes?: number;
  lengths: number[];
  dense: CostCurve;
  curves: CostCurve[];
  /** Attention memory of a well-known model from the same formula, beside what is written of it. */
  check: { model: string; what: string; tokens: number; bytes: number; published: string }[];
}

export interface HeadShape {
  dim: number;
  valueDim: number;
  causal: boolean;
  /** All heads of the model: what one head costs times this is the model's attention. */
  heads: number;
  /** Of the core whose shape it is. */
  layerHeads?: number;
}

export interface CostMeasureParams {
  id: string;
  core: number;
  mechanisms: Setting[];
  lengths: number[];
  /** Runs of each point at least, after a first one that does not count; short ones are repeated more often. */
  repetitions: number;
  /** A point that is expected to take longer is left out. */
  secondsPerPoint: number;
}

/** Time of one head on random tensors. */
export interface CostPoint {
  /** `dense`, or the mechanism. */
  choice: Setting;
  tokens: number;
  /** `low` and `high`: the middle half of the runs lies between them. */
  milliseconds: { median: number; low: number; high: number; runs: number };
  /** As counted in the run. */
  pairs: number;
  /** As in `CostCurve`, counted; absent where no set of pairs is kept. */
  blocks?: number;
  held?: number;
}

export interface CostMeasurement {
  shape: HeadShape;
  device: DeviceName;
  /** The processor and its threads, in words. */
  machine: string;
  /** ISO date and time. */
  date: string;
  points: CostPoint[];
  /** What was left out, and why. */
  notes: string[];
}

export interface CostProgress {
  id: string;
  fraction: number;
  message: string;
  /** The point that has just been measured. */
  point: CostPoint | null;
}

/** `cost/forward`: the dense model run once on the analysed text, timed between its cores. */
export interface ForwardTimes {
  tokens: number;
  device: DeviceName;
  /** Median of the runs, milliseconds. `rest`: what the model computes between the core before and this one. */
  cores: { core: number; attention: number; rest: number }[];
  /** After the last core: the end of its layer, and logits of all tokens. */
  output: number;
  runs: number;
}

export interface CostRequests {
  'cost/formulas': { params: CostFormulaParams; result: CostFormulas };
  'cost/measure': { params: CostMeasureParams; result: CostMeasurement };
  'cost/forward': { params: { id: string; runs: number }; result: ForwardTimes };
}
