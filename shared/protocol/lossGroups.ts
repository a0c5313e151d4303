/** The loss of a text by how frequent its tokens are elsewhere, and by how much of the text stands before them. */
import type { Change } from './interventions';
import type { Interval, Setting } from './mechanisms';

export interface LossGroupsParams {
  id: string;
  /** A text whose tokens are counted; null = the analysed text itself. */
  reference: string | null;
  /** Run on in every head, to say what they change in each group. */
  mechanisms: Setting[];
}

/** Tokens that are alike in one number. */
export interface LossGroup {
  /** Of that number, both included; null = no end. */
  from: number;
  to: number | null;
  tokens: number;
  /** Nats per token, 95 %. */
  loss: { mean: number } & Interval;
  /** By each mechanism, in the order of the request. Propagated. */
  changes: Change[];
}

export interface LossGroups {
  referenceTokens: number;
  /** By occurrences of the predicted token in the reference (Rae et al., Compressive Transformers, 2020, figure of gains by frequency). */
  frequency: LossGroup[];
  /** By tokens that stand before the predicted one; empty where a model sees both sides (Dai et al., Transformer-XL, 2019). */
  context: LossGroup[];
  /** The least context from which on no longer one predicts better beyond chance (95 %); null where the text cannot tell. */
  effectiveContext: number | null;
}

export interface LossRequests {
  'analysis/lossGroups': { params: LossGroupsParams; result: LossGroups };
}
