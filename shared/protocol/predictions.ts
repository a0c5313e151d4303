/** What the model predicts at a token, as it is and with its attention changed. */
import type { Intervention } from './interventions';
import type { HeadAssignment } from './plans';

export interface PredictionParams {
  id: string;
  /** Of the text that the loss is about: that of the model, or the target text of an encoder-decoder. */
  tokens: number[];
  /** The change; none of both: the model as it is. */
  heads?: HeadAssignment[];
  interventions?: Intervention[];
  /** How many of the likeliest; default 5. */
  count?: number;
}

export interface LikelyToken {
  id: number;
  text: string;
  probability: number;
}

export interface Prediction {
  token: number;
  /** `next`: the token after it. `masked`: it itself, hidden (encoders). */
  of: 'next' | 'masked';
  /** Likeliest first; where probabilities are equal, the lower id. */
  before: LikelyToken[];
  /** null without a change. */
  after: LikelyToken[] | null;
  /** The token that stands there in the text, and how likely it was; null at the end of the text. */
  came: { id: number; text: string; before: number; after: number | null } | null;
}
