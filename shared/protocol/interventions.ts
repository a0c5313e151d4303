/** Interventions: what is taken away from the attention, and what each token lost by it. */
import type { Interval, MechanismParams, Setting } from './mechanisms';
import type { HeadAssignment, RunEffect } from './plans';
import type { Side } from './text';

/**
 * Something taken away from the attention of the model. `core` and `head` null = all. Tokens in all cores are tokens of
 * `side` (default: the analysed text), and the cores are those whose keys, and queries where some are named, are of it.
 */
export type Intervention =
  /** The head's output is zero. */
  | { kind: 'head'; core: number; head: number }
  /** Queries do not see the keys `from` .. `to`-1 (text or target tokens, as the core's keys are); `queries` null = all. */
  | {
      kind: 'span';
      core: number | null;
      head: number | null;
      from: number;
      to: number;
      queries: { from: number; to: number } | null;
      side?: Side;
    }
  /** One query does not see one key. */
  | { kind: 'edge'; core: number | null; head: number | null; query: number; key: number; side?: Side }
  /** These heads attend by a mechanism. */
  | { kind: 'mechanism'; core: number | null; head: number | null; choice: Setting };

export interface InterveneParams {
  id: string;
  /** All at once; empty = the dense model. */
  interventions: Intervention[];
}

export interface InterventionResult {
  interventions: Intervention[];
  effect: RunEffect;
  notes: string[];
  /** What the parameters of each mechanism came to (as `MechanismResult.settled`); null for what is none. */
  settled?: (MechanismParams | null)[];
}

/** The tokens that a changed run hurts most, each with the heaviest key that its heads lost. */
export interface WorstTokensParams {
  id: string;
  heads: HeadAssignment[];
  /** On top of `heads`; a mechanism in all heads is one intervention. */
  interventions?: Intervention[];
  /** Tokens to explain: positions of the queries that predict (token i predicts i+1). */
  queries: number[];
}

export interface LostKey {
  query: number;
  /** null when no head lost any key of this query. */
  lost: {
    core: number;
    head: number;
    /** Of the text that the core's keys are of. */
    key: number;
    /** Dense mass, local. */
    mass: number;
    /** null where query and key are of different texts. */
    distance: number | null;
  } | null;
}

/** What a change costs, mean over tokens (as `RunEffect.measure` says), with its 95 % interval over blocks of neighbouring tokens. */
export interface Change extends Interval {
  delta: number;
}

/** What the model loses without one head. Propagated. */
export interface HeadAblation {
  core: number;
  head: number;
  /** The head's output is zero. */
  zero: Change;
  /** It is its mean over all queries of the text: what the head says of no token in particular stays. */
  mean: Change;
  /** It is what it says at another query, drawn at random (`dealt`). Where it was asked for. */
  resample?: Change;
}

export interface Ablation {
  measure: RunEffect['measure'];
  /** Of every core, in order. */
  heads: HeadAblation[];
}
