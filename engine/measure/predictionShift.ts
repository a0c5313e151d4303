import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import type { Runtime } from '../runtime/runtime';
import { float32, floats } from '../runtime/tensor';

/** Elements of logits read at once from each output. */
const ELEMENTS = 2 ** 22;

/** Mean over rows of KL(dense || changed) of the next-token distributions, in nats. Logits of the same rows of two runs. */
export async function predictionShift(
  dense: ModelOutput,
  changed: ModelOutput,
  { runtime, signal }: { runtime: Runtime; signal: AbortSignal },
): Promise<number> {
  const { rows, width } = dense;
  const session = await runtime.graph('prediction shift', g => {
    const p = g.op('LogSoftmax', [g.input('dense', 'float32', ['rows', 'width'])], { axis: -1 });
    const q = g.op('LogSoftmax', [g.input('changed', 'float32', ['rows', 'width'])], { axis: -1 });
    const terms = g.op('Mul', [g.op('Exp', [p]), g.op('Sub', [p, q])]);
    g.output('shift', g.op('ReduceSum', [terms, g.int([1])], { keepdims: 0 }));
  });
  const step = Math.max(1, Math.floor(ELEMENTS / width));
  let sum = 0;
  for (let from = 0; from < rows; from += step) {
    await checkpoint(signal);
    const to = Math.min(rows, from + step);
    const dims = [to - from, width];
    const results = await session.run({
      dense: float32(await dense.read(from, to), dims),
      changed: float32(await changed.read(from, to), dims),
    });
    // Rounding may leave a tiny negative number where nothing changed.
    for (const value of floats(results['shift']!)) sum += Math.max(0, value);
  }
  return rows === 0 ? 0 : sum / rows;
}
