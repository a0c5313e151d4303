/** What becomes of a text's embedding, in words. */
import type { EmbeddingChange, Pooling } from '../../shared/protocol/engine';
import { number } from '../../shared/numbers';
import { t } from '../host/words';

/** Four digits: of embeddings that are compared, the third decides which texts are found. */
export const cosineOf = ({ cosine }: EmbeddingChange): string => cosine.toFixed(4);

export const lengthOf = ({ length }: EmbeddingChange): string => t('length × {0}', number(length));

const POOLED: Readonly<Record<Pooling, string>> = {
  mean: t('the mean of the rows of the output'),
  first: t('the first row of the output'),
  last: t('the last row of the output'),
};

/** "The text's embedding, the mean of the rows of the output: cosine 0.9987 with the dense model's, length × 1.003". */
export const embeddingWords = (change: EmbeddingChange): string =>
  t(
    "The text's embedding, {0}: cosine {1} with the dense model's, {2}",
    POOLED[change.pooling],
    cosineOf(change),
    lengthOf(change),
  );
