/** The canonical probe of a model's heads: random words said over and over. */
import type { DeviceChoice, ModelInfo, Provenance } from './models';
import type { Ablation, Change, HeadAblation } from './interventions';
import type { RoleScore } from './text';

export interface ProbeParams {
  model: string;
  device: DeviceChoice;
  seed?: number;
  /** Ablation by resampling as well. */
  resample?: boolean;
}

/** One head on the probe. */
export interface ProbedHead {
  core: number;
  layer: number;
  head: number;
  /** Earned on the probe. */
  roles: RoleScore[];
  /** Over the tokens that were said before. */
  ablation: Pick<HeadAblation, 'zero' | 'mean' | 'resample'>;
}

/**
 * The heads by which a model says again what it has read (Olsson et al., In-context Learning and Induction Heads, 2022):
 * previous-token heads in a layer before an induction head, and induction heads in a layer behind such a one.
 */
export interface InductionCircuit {
  /** The one that costs most without it (zero) first. */
  heads: (ProbedHead & { part: 'previous' | 'induction' })[];
  /** How much more the model loses without the first than without the second: token by token of the same text. */
  lead: Change;
}

export interface HeadProbe {
  model: ModelInfo;
  /** `tokens` in all, the same words `repeats` times. */
  probe: { tokens: number; repeats: number; seed: number };
  measure: Ablation['measure'];
  /** Mean loss of the words said for the first time, and of those said before; null where the model predicts no tokens. */
  loss: { first: number; repeated: number } | null;
  /** The one that costs most without it (zero) first. */
  heads: ProbedHead[];
  /** Null where no head of one kind stands before one of the other. */
  circuit: InductionCircuit | null;
  /** The tokens of the probe, for checks made elsewhere. */
  ids: number[];
  provenance: Provenance;
}

export interface ProbeRequests {
  /** Roles of all heads on repeated random words, and what the model loses without each. Progress goes by the id `probe`. */
  'heads/probe': { params: ProbeParams; result: HeadProbe };
}
