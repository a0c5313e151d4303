import type { CoreInfo } from '../../shared/protocol/engine';
import type { CutModel } from '../model/cut/cutModel';

/** Score and value products of one dense core, for progress in proportion to the work. */
export function coreFlops(info: CoreInfo, tokens: number): number {
  const pairs = info.causal ? (tokens * (tokens + 1)) / 2 : tokens * tokens;
  return 4 * info.heads * info.dim * pairs;
}

/** Scores of one block of queries, and what a block's measures are computed from, in as many copies. */
const BLOCK_COPIES = 10;
const BLOCK_ELEMENTS = 2 ** 20;
/** Rows of a block at the least. */
const BLOCK_ROWS = 16;
/** Logits of one block of rows, with their logarithms. */
const LOSS_ELEMENTS = 3 * 2 ** 23;
/** Numbers per token and head that stay of every core, and that the measures of one core take. */
const KEPT = 3;
const MEASURED = 12;

/** About what a dense pass needs at once, beside the weights: activations, one core with its measures, results. */
export function workingBytes(model: Pick<CutModel, 'info' | 'activationBytes'>, tokens: number): number {
  const { cores } = model.info;
  const heads = cores.reduce((sum, core) => sum + core.heads, 0);
  const ofCore = Math.max(
    ...cores.map(({ heads, kvHeads, dim }) => {
      const copies = (2 * kvHeads + heads) * dim; // keys and values with padding, the output
      return tokens * (copies + MEASURED * heads);
    }),
  );
  const block = BLOCK_COPIES * Math.max(BLOCK_ELEMENTS, BLOCK_ROWS * tokens);
  return model.activationBytes(tokens) + 4 * (ofCore + KEPT * heads * tokens + block + LOSS_ELEMENTS);
}
