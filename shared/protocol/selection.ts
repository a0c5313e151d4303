import type { Setting } from './mechanisms';

/** What is looked at, everywhere: editor, side panel and every view follow it. */
export interface Selection {
  /** null = mean over all heads of all cores. */
  core: number | null;
  /** null = mean over the heads of `core`. */
  head: number | null;
  /** The pinned token, or null. */
  token: number | null;
  /** The mechanism whose kept and lost pairs are shown, or null for dense only. */
  mechanism: Setting | null;
  /** The change of the attention whose effect is shown on the text; null = none was asked for yet (`changeOf`). */
  change: ChangeSource | null;
}

export type ChangeSource =
  { kind: 'interventions' } | { kind: 'plan' } | { kind: 'mechanism'; choice: Setting };

export const NO_SELECTION: Selection = { core: null, head: null, token: null, mechanism: null, change: null };
