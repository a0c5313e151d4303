import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import type { Runtime } from '../runtime/runtime';
import { float32, floats, int64 } from '../runtime/tensor';

/** Elements of logits read at once: a large vocabulary times the whole text would outgrow the model. */
const ELEMENTS = 2 ** 23;

/**
 * Loss of predicting token i+1 from the tokens up to i, in nats, [N-1]: log-sum-exp of the logits of row i minus the
 * logit of the token that came, as ONNX Runtime's LogSoftmax gives it (float32).
 */
export async function tokenLoss(
  output: ModelOutput,
  ids: Int32Array,
  { runtime, signal }: { runtime: Runtime; signal: AbortSignal },
): Promise<Float32Array> {
  const { width } = output;
  const rows = Math.max(0, Math.min(output.rows, ids.length) - 1);
  const loss = new Float32Array(rows);
  const session = await runtime.graph('token loss', g => {
    const logits = g.input('logits', 'float32', ['rows', 'width']);
    const next = g.input('next', 'int64', ['rows', 1]);
    const logarithms = g.op('LogSoftmax', [logits], { axis: -1 });
    g.output('loss', g.op('Neg', [g.op('GatherElements', [logarithms, next], { axis: 1 })]));
  });
  const step = Math.max(1, Math.floor(ELEMENTS / width));
  for (let from = 0; from < rows; from += step) {
    await checkpoint(signal);
    const to = Math.min(rows, from + step);
    const results = await session.run({
      logits: float32(await output.read(from, to), [to - from, width]),
      next: int64(ids.subarray(from + 1, to + 1), [to - from, 1]),
    });
    loss.set(floats(results['loss']!), from);
  }
  return loss;
}
