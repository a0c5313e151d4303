import { RefusedError, told } from '../errors';
import type { ModelInfo, PlanFormat } from '../../shared/protocol/engine';

/** Formats that have no word for encoders. */
const CAUSAL: Partial<Record<PlanFormat, string>> = {
  minference: 'MInference patterns',
  duo: 'DuoAttention heads',
};

/** @throws RefusedError for a model none of whose plans can be written so: known before a plan is searched. */
export function checkFormat({ kind, causal }: Pick<ModelInfo, 'kind' | 'causal'>, format: PlanFormat): void {
  const what = CAUSAL[format];
  if (what !== undefined && (kind !== 'decoder' || !causal))
    throw new RefusedError(told`${what} are for causal decoders; this model is none.`);
}
