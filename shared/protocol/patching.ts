/** Activation patching between two texts: what a part of the run of the one carries into the run of the other (Vig et al., 2020). */
import type { Change } from './interventions';

export interface PatchParams {
  /** The analysed text that is run. */
  id: string;
  /** The analysis of the other text, of as many tokens, by the same model: where what is put in is taken from. */
  from: string;
  /** The token whose next token is looked at; default: the last. */
  at?: number;
  /** Ids in the vocabulary, of `id` and of `from`; default: the likeliest next token of each at `at`. */
  answers?: { own: number; other: number };
}

/** What is looked at in both texts. */
export interface PatchedTexts {
  at: number;
  answers: Record<'own' | 'other', { id: number; text: string }>;
  /** Of the two texts as they are: logit of the other text's answer less that of its own answer. */
  differences: { own: number; other: number };
}

/** What one part from the other text changes in the text that is run. */
export interface PatchedPart {
  /** What its loss grows by. Nats per token. */
  loss: Change;
  /** Logit of the other text's answer less that of its own answer, at `at`. */
  difference: number;
  /** How far that goes from the text that is run (0) to the other (1); null where both have the same difference. */
  restored: number | null;
}

/** With the head's output at every token from the other text. */
export interface PatchedHead extends PatchedPart {
  core: number;
  layer: number;
  head: number;
}

export interface Patching extends PatchedTexts {
  /** In the order of the cores. */
  heads: PatchedHead[];
}

export interface PatchResidualParams extends PatchParams {
  /** Tokens whose residual stream is put in; default: all from the first that differs to `at`, of long stretches those that differ. */
  tokens?: number[];
}

/**
 * With all that is handed on of one token to a core, and behind it, from the other text: in decoders of the usual form its residual
 * stream before the layer's attention (Meng et al., Locating and Editing Factual Associations in GPT, 2022).
 */
export interface PatchedState extends PatchedPart {
  core: number;
  layer: number;
  token: number;
}

export interface ResidualPatching extends PatchedTexts {
  tokens: number[];
  /** In the order of the cores, of each in the order of the tokens. */
  cells: PatchedState[];
}

export interface PatchEdgesParams extends PatchParams {
  core: number;
  head: number;
  /** Default: those that change most, to tokens up to `at`. */
  edges?: { query: number; key: number }[];
  /** How many these are; default 16. */
  most?: number;
}

/** With what the head gives the query from the key (probability times value) from the other text; what it gives it from others stays. */
export interface PatchedEdge extends PatchedPart {
  query: number;
  key: number;
  /** Euclidean norm of what that changes in the head's output. */
  moved: number;
}

export interface EdgePatching extends PatchedTexts {
  core: number;
  head: number;
  /** As they were asked for, or the one that changes most first. */
  edges: PatchedEdge[];
}

export interface PatchRequests {
  /** Runs a text once for each head of a decoder, with that head's output from another text (Wang et al., 2022). */
  'analysis/patch': { params: PatchParams; result: Patching };
  /** Runs a text once for each layer and token, with the residual stream of that token from another text. */
  'analysis/patchResidual': { params: PatchResidualParams; result: ResidualPatching };
  /** Runs a text once for each edge of a head, with what it carries over that edge from another text. */
  'analysis/patchEdges': { params: PatchEdgesParams; result: EdgePatching };
}
