/** What a change of attention does to the embedding of a text. */
import type { Pooling } from './models';

/** What becomes of a text's embedding, the rows of the output pooled into one vector, when attention is changed (propagated). */
export interface EmbeddingChange {
  pooling: Pooling;
  /** Between the embedding without and with the change. */
  cosine: number;
  /** The length with it, as a multiple of that without. */
  length: number;
}
