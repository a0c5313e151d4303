/** What each head says to the logits directly: past all layers behind it. */
import type { Change } from './interventions';

export interface AttributedHead {
  core: number;
  layer: number;
  head: number;
  /** What it adds to the logit of the token that comes, beside what it adds to all of the vocabulary on average; the final norm is computed anew without it. */
  logit: Change;
  /** What the loss grows by without its direct path alone, nats per token. */
  loss: Change;
  /** Of the text's tokens, the share whose value the head turns into its own token: among the five likeliest (Wang et al., 2022). */
  copying: number;
}

export interface Attribution {
  /** In the order of the cores. */
  heads: AttributedHead[];
}

export interface TokenAttributionParams {
  id: string;
  /** What comes after it is looked at. */
  token: number;
  /** Id in the vocabulary of the next token that is asked about; default: the one that comes, at the end of the text the likeliest. */
  answer?: number;
}

/** The same at one token, where it is exact: there is nothing to be averaged. */
export interface TokenAttribution {
  token: number;
  answer: { id: number; text: string };
  /** The answer's logit, less the mean of all, and what it would cost as the next token, nats. */
  logit: number;
  loss: number;
  /** In the order of the cores: what each head adds to the logit, and what that loss grows by without its direct path. */
  heads: { core: number; layer: number; head: number; logit: number; loss: number }[];
}

export interface AttributionRequests {
  /** Direct logit attribution and copying of every head of a decoder, on the analysed text. */
  'analysis/attribution': { params: { id: string }; result: Attribution };
  /** Direct logit attribution of every head at one token. */
  'analysis/tokenAttribution': { params: TokenAttributionParams; result: TokenAttribution };
}
