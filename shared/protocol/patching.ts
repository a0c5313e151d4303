/** Activation patching between two texts: what one head's output carries from the one into the other. */
import type { Change } from './interventions';

export interface PatchParams {
  /** The analysed text that is run. */
  id: string;
  /** The analysis of the other text, of as many tokens, by the same model: where a head's output is taken from. */
  from: string;
  /** The token whose next token is looked at; default: the last. */
  at?: number;
  /** Ids in the vocabulary, of `id` and of `from`; default: the likeliest next token of each at `at`. */
  answers?: { own: number; other: number };
}

export interface PatchedHead {
  core: number;
  layer: number;
  head: number;
  /** What the loss of the text that is run grows by, with the head's output at every token from the other text. Nats per token. */
  loss: Change;
  /** Logit of the other text's answer less that of its own answer, at `at`. */
  difference: number;
  /** How far that goes from the text that is run (0) to the other (1); null where both have the same difference. */
  restored: number | null;
}

export interface Patching {
  at: number;
  answers: Record<'own' | 'other', { id: number; text: string }>;
  /** Of the two texts as they are: logit of the other text's answer less that of its own answer. */
  differences: { own: number; other: number };
  /** In the order of the cores. */
  heads: PatchedHead[];
}

export interface PatchRequests {
  /** Runs a text once for each head of a decoder, with that head's output from another text (Vig et al., 2020; Wang et al., 2022). */
  'analysis/patch': { params: PatchParams; result: Patching };
}
