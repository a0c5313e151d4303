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

export interface AttributionRequests {
  /** Direct logit attribution and copying of every head of a decoder, on the analysed text. */
  'analysis/attribution': { params: { id: string }; result: Attribution };
}
