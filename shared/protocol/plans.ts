/** Changed runs: a mechanism for each head, and plans within a budget. */
import type { EmbeddingChange } from './embedding';
import type { BudgetUnit, HeadComparison, Interval, MechanismParams, Setting, Spending } from './mechanisms';
import type { Note } from './notes';

/** What changes when the model runs on with changed attention (propagated). */
export interface RunEffect {
  /** `loss`: nats per predicted token; `output`: 1 - cosine of the output rows, for models that predict no next token. */
  measure: 'loss' | 'output';
  /** Mean change over tokens. */
  delta: number;
  /** [N-1] of the loss, [N] of the output; of the target text where there is one. */
  perToken: Float32Array;
  /** Of several texts, how many of `perToken` are each one's. */
  lengths?: number[];
  /** In plans, with a loss: mean KL divergence of the next-token distribution from the dense model's, nats. */
  divergence?: number;
  /** Of models without a head that predicts tokens; over several texts the mean. */
  embedding?: EmbeddingChange;
}

/** Whether a change is less than another, or the difference may be chance. */
export type Verdict = 'yes' | 'no' | 'undecided';

/** The mechanism of one head. Heads that are not named stay dense. */
export interface HeadAssignment {
  core: number;
  head: number;
  choice: Setting;
}

export interface AssignParams {
  id: string;
  heads: HeadAssignment[];
}

/** The model run on with a mechanism of its own in each head. */
export interface AssignResult {
  effect: RunEffect;
  /** Of every assigned head, local. */
  heads: HeadComparison[];
  /** Over all heads of the model, dense ones included. */
  pairs: number;
  densePairs: number;
}

export interface PlanParams {
  id: string;
  /** Share of what dense attention spends that all heads together may spend, 0..1. */
  budget: number;
  /** What it is paid in. Default: pairs. */
  unit?: BudgetUnit;
  /** Heads that share keys and values get the same setting, as formats and caches need that have one for each group. */
  tied?: boolean;
  /** Names of the mechanisms to choose from; empty = all that keep a set of pairs and work on this model, but the floor. */
  mechanisms: string[];
  /** How often the model may be run to correct the choice and to compare it. */
  maxRuns: number;
  /** The search makes fewer runs rather than take longer; how many then depends on the machine, and a note says so. Default: no limit. */
  maxSeconds?: number;
}

/** One head under one setting: a point of its sparsity-recall picture. Local. */
export interface PlanCandidate extends HeadComparison {
  choice: Setting;
  /** No other candidate of this head has at most its pairs and a smaller output error. */
  onFront: boolean;
}

export interface PlannedHead extends HeadComparison {
  choice: Setting;
  /** As `MechanismResult.settled`, in this core of the first text. Absent in what an earlier version kept. */
  settled?: MechanismParams;
  /** Propagated change per squared output error, as measured or estimated; what the choice weighs errors with. */
  sensitivity: number;
}

export interface Plan {
  budget: number;
  /** Where it is not pairs: what the budget is paid in. */
  unit?: BudgetUnit;
  /** In every unit, over all heads; of the cache as if the heads of a group kept the same keys. */
  spending?: Spending;
  /** Spent. */
  pairs: number;
  densePairs: number;
  heads: PlannedHead[];
  effect: RunEffect;
  /** The best setting of each mechanism in every head within the budget, least change first. */
  uniform: { choice: Setting; settled?: MechanismParams; share: number; effect: RunEffect }[];
  /** Assignments drawn at random from the candidates within the same budget: mean and range of the change. */
  /**
   * What keeps the most mass by looking at every score (`MechanismInfo.floor`), in every head within the budget: no rival, but
   * how little so many pairs can cost. Null where it has no setting; absent in what an earlier version kept.
   */
  floor?: { choice: Setting; settled?: MechanismParams; share: number; effect: RunEffect } | null;
  random: { runs: number; mean: number; least: number; most: number; leastPerToken?: Float32Array };
  /**
   * Against every uniform choice and the random assignment that lost least: `no` when one of them lost less, `undecided`
   * where the 95 % interval of a difference holds 0; `notes` says so.
   */
  wins: Verdict;
  /** Change against budget, from few pairs to many; `measured` false = predicted from local errors; 95 % of what was measured. */
  curve: { share: number; delta: number; measured: boolean; interval?: Interval }[];
  /** Every run that was made on the way. */
  tried: { what: string; delta: number; divergence?: number; kept: boolean }[];
  candidates: PlanCandidate[];
  notes: Note[];
}

/** Differences between changes below this are rounding. */
export const LOSS_ROUNDING = 1e-5;
