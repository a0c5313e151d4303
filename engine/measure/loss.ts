import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import { logitRows } from './logitRows';
import type { Runtime } from '../runtime/runtime';
import { float32, floats, int64 } from '../runtime/tensor';

/** Elements of logits read at once at most: a large vocabulary times the whole text would outgrow the model. */
const MOST_ELEMENTS = 2 ** 23;

type Context = { runtime: Runtime; signal: AbortSignal };
export type Rows = Omit<ModelOutput, 'only' | 'holds'>;

/** Loss of predicting token i+1, in nats, [N-1]: row i of the output is its prediction. */
export function tokenLoss(output: Rows, ids: Int32Array, context: Context): Promise<Float32Array> {
  return rowLoss(output, ids.subarray(1, Math.max(1, Math.min(output.rows, ids.length))), context);
}

/**
 * Loss of each row's token, in nats: log-sum-exp of the logits of row i minus the logit of `tokens[i]`, as ONNX Runtime's
 * LogSoftmax gives it (float32).
 */
export async function rowLoss(
  output: Rows,
  tokens: Int32Array,
  { runtime, signal }: Context,
): Promise<Float32Array> {
  const { width } = output;
  const rows = tokens.length;
  const loss = new Float32Array(rows);
  const session = await runtime.graph('token loss', g => {
    const logits = g.input('logits', 'float32', ['rows', 'width']);
    const next = g.input('next', 'int64', ['rows', 1]);
    const logarithms = g.op('LogSoftmax', [logits], { axis: -1 });
    g.output('loss', g.op('Neg', [g.op('GatherElements', [logarithms, next], { axis: 1 })]));
  });
  const step = logitRows(width, MOST_ELEMENTS);
  for (let from = 0; from < rows; from += step) {
    await checkpoint(signal);
    const to = Math.min(rows, from + step);
    const results = await session.run({
      logits: float32(await output.read(from, to), [to - from, width]),
      next: int64(tokens.subarray(from, to), [to - from, 1]),
    });
    loss.set(floats(results['loss']!), from);
  }
  return loss;
}
