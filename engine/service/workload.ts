import type { CoreInfo, ModelInfo } from '../../shared/protocol/engine';

/** Score and value products of one dense core, for progress in proportion to the work. */
export function coreFlops(info: CoreInfo, tokens: number): number {
  const pairs = info.causal ? (tokens * (tokens + 1)) / 2 : tokens * tokens;
  return 4 * info.heads * info.dim * pairs;
}

/** A rough upper bound of what a dense pass needs at once, beside the weights: activations, one block of scores, results. */
export function workingBytes(model: ModelInfo, tokens: number): number {
  const widest = Math.max(...model.cores.map(core => core.heads * core.dim));
  const activations = 4 * tokens * widest * 12;
  const block = 3 * 4 * model.heads * 128 * tokens;
  const head = 4 * 256 * (model.vocabulary ?? 0);
  const perHead = model.cores.reduce((sum, core) => sum + core.heads, 0) * tokens * 4 * 20;
  return activations + block + head + perHead;
}
