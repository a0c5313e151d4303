/** What each head of a plan sees, for the formats of other programs. */
import type { MaskRule } from '../attention/core';
import type { HeadMask } from '../attention/mask';
import type { CoreInfo, Setting } from '../../shared/protocol/engine';

export interface PlannedMask {
  head: number;
  choice: Setting;
  /** What the mechanism is called to people. */
  title: string;
  mask: HeadMask;
}

/** One core of the model under a plan; `heads` holds every head. */
export interface CoreMasks {
  info: CoreInfo;
  /** The model's own mask, which holds in every head. */
  mask: MaskRule;
  queries: number;
  keys: number;
  heads: PlannedMask[];
}
