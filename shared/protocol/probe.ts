/** The canonical probe of a model's heads: random words said over and over. */
import type { DeviceChoice, ModelInfo, Provenance } from './models';
import type { HeadAblation, Ablation } from './interventions';
import type { RoleScore } from './text';

export interface ProbeParams {
  model: string;
  device: DeviceChoice;
  seed?: number;
}

/** One head on the probe. */
export interface ProbedHead {
  core: number;
  layer: number;
  head: number;
  /** Earned on the probe. */
  roles: RoleScore[];
  /** Over the tokens that were said before. */
  ablation: Pick<HeadAblation, 'zero' | 'mean'>;
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
  provenance: Provenance;
}

export interface ProbeRequests {
  /** Roles of all heads on repeated random words, and what the model loses without each. Progress goes by the id `probe`. */
  'heads/probe': { params: ProbeParams; result: HeadProbe };
}
