import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';

/** Elements read at once from each output. */
const ELEMENTS = 2 ** 22;

/**
 * How far a model's output turned: 1 - cosine between the same rows of two runs (last hidden states, or logits where a
 * model has them), [rows]. Takes the place of the loss where there is none to compute.
 */
export async function outputChange(
  dense: ModelOutput,
  changed: ModelOutput,
  signal: AbortSignal,
): Promise<Float32Array> {
  const { rows, width } = dense;
  const change = new Float32Array(rows);
  const step = Math.max(1, Math.floor(ELEMENTS / width));
  for (let from = 0; from < rows; from += step) {
    await checkpoint(signal);
    const to = Math.min(rows, from + step);
    const [a, b] = [await dense.read(from, to), await changed.read(from, to)];
    for (let i = from; i < to; i++) change[i] = 1 - cosine(a, b, (i - from) * width, width);
  }
  return change;
}

/** Cosine of two rows; 1 when both are zero, 0 when only one is. */
export function cosine(
  a: Float32Array | Float64Array,
  b: Float32Array | Float64Array,
  at: number,
  width: number,
): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let c = at; c < at + width; c++) {
    dot += a[c]! * b[c]!;
    aa += a[c]! ** 2;
    bb += b[c]! ** 2;
  }
  if (aa === 0 || bb === 0) return aa === bb ? 1 : 0;
  return Math.min(1, dot / Math.sqrt(aa * bb));
}
