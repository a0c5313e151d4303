import type { ModelOutput } from '../model/cutModel';
import { checkpoint, type Cancellation } from '../runtime/cancellation';

/** Elements of logits read at once: a large vocabulary times the whole text would outgrow the model. */
const ELEMENTS = 2 ** 23;

/**
 * Loss of predicting token i+1 from the tokens up to i, in nats, [N-1]: log-sum-exp of the logits of row i minus the
 * logit of the token that came.
 */
export async function tokenLoss(
  output: ModelOutput,
  ids: Int32Array,
  cancellation: Cancellation,
): Promise<Float32Array> {
  const { width } = output;
  const rows = Math.min(output.rows, ids.length) - 1;
  const loss = new Float32Array(Math.max(0, rows));
  const step = Math.max(1, Math.floor(ELEMENTS / width));
  for (let from = 0; from < rows; from += step) {
    await checkpoint(cancellation);
    const to = Math.min(rows, from + step);
    const logits = await output.read(from, to);
    for (let i = from; i < to; i++) {
      const row = logits.subarray((i - from) * width, (i - from + 1) * width);
      loss[i] = logSumExp(row) - row[ids[i + 1]!]!;
    }
  }
  return loss;
}

function logSumExp(row: Float32Array): number {
  let largest = -Infinity;
  for (let t = 0; t < row.length; t++) if (row[t]! > largest) largest = row[t]!;
  let sum = 0;
  for (let t = 0; t < row.length; t++) sum += Math.exp(row[t]! - largest);
  return largest + Math.log(sum);
}
