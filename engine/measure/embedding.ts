import { cosine } from './outputChange';
import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import type { EmbeddingChange, Pooling } from '../../shared/protocol/engine';

/** Elements read at once. */
const ELEMENTS = 2 ** 22;

/** What becomes of a text's embedding, given the output of the model as it is and of the changed one. */
export async function embeddingChange(
  dense: ModelOutput,
  changed: ModelOutput,
  pooling: Pooling,
  signal: AbortSignal,
): Promise<EmbeddingChange> {
  const [a, b] = [await pooled(dense, pooling, signal), await pooled(changed, pooling, signal)];
  const before = Math.hypot(...a);
  return { pooling, cosine: cosine(a, b, 0, a.length), length: before > 0 ? Math.hypot(...b) / before : 1 };
}

/** All rows count, those of special tokens too, as where such models are used. */
export async function pooled(
  output: ModelOutput,
  pooling: Pooling,
  signal: AbortSignal,
): Promise<Float64Array> {
  const { rows, width } = output;
  if (pooling === 'first') return Float64Array.from(await output.read(0, 1));
  if (pooling === 'last') return Float64Array.from(await output.read(rows - 1, rows));
  const sum = new Float64Array(width);
  const step = Math.max(1, Math.floor(ELEMENTS / width));
  for (let from = 0; from < rows; from += step) {
    await checkpoint(signal);
    const block = await output.read(from, Math.min(rows, from + step));
    for (let at = 0; at < block.length; at++) sum[at % width]! += block[at]!;
  }
  return sum.map(value => value / rows);
}
