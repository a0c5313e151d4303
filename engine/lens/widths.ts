import { denseOutput } from '../attention/kernels/dense';
import type { Analysis } from '../service/analysis';

/**
 * Widths of the token embeddings and of the residual stream. `table`: a row of the embedding table, where it can be looked up by
 * itself; of a quantised one the embeddings are taken to be as wide as the stream.
 */
export async function widthsOf(analysis: Analysis, signal: AbortSignal) {
  const table = await analysis.model.embed(Int32Array.of(0));
  const hidden = (await hiddenWidth(analysis, signal)) ?? table?.width ?? 0;
  return { table, hidden, embedding: table?.width ?? hidden };
}

/** Width of the residual stream, from a run of two tokens. */
async function hiddenWidth(analysis: Analysis, signal: AbortSignal): Promise<number | null> {
  const context = analysis.context(signal);
  let width: number | null = null;
  await analysis.model.run(analysis.tokens.ids.slice(0, 2), (_, input) => denseOutput(input, context), {
    signal,
    targetIds: analysis.target?.tokens.ids.slice(0, 2),
    onHidden: hidden => hidden.at !== 'output' && (width = Math.max(width ?? 0, hidden.width)),
  });
  return width;
}
