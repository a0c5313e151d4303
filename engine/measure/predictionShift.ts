import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import { logitRows } from './logitRows';
import type { Runtime } from '../runtime/runtime';
import { float32, floats, int64 } from '../runtime/tensor';

/** Elements of logits read at once at most from each output. */
const MOST_ELEMENTS = 2 ** 22;

type Context = { runtime: Runtime; signal: AbortSignal };

/** What becomes of predictions in a changed run. */
export interface PredictionShift {
  /** Mean over rows of KL(dense || changed) of the next-token distributions, in nats. */
  shift: number;
  /** Loss of the tokens that the rows were to predict, in nats. */
  loss: Float32Array;
}

/** The dense model's predictions, which those of changed runs are held against: both are read once. */
export class DensePredictions {
  /** Logarithms of the probabilities, by the first row of each block. */
  private readonly known = new Map<number, Float32Array>();

  /** @param keepBytes the dense model's distributions are kept where they take no more: else they are computed each time. */
  constructor(
    private readonly dense: ModelOutput,
    private readonly keepBytes = 0,
  ) {}

  /** @param tokens those that the first rows were to predict */
  async compare(changed: ModelOutput, tokens: Int32Array, context: Context): Promise<PredictionShift> {
    const { rows, width } = this.dense;
    const session = await context.runtime.graph('prediction shift', g => {
      const p = g.input('dense', 'float32', ['rows', 'width']);
      const q = g.op('LogSoftmax', [g.input('changed', 'float32', ['rows', 'width'])], { axis: -1 });
      const terms = g.op('Mul', [g.op('Exp', [p]), g.op('Sub', [p, q])]);
      g.output('shift', g.op('ReduceSum', [terms, g.int([1])], { keepdims: 0 }));
      const next = g.input('next', 'int64', ['rows', 1]);
      g.output('loss', g.op('Neg', [g.op('GatherElements', [q, next], { axis: 1 })]));
    });
    const step = logitRows(width, MOST_ELEMENTS);
    const next = new Int32Array(rows);
    next.set(tokens.subarray(0, rows));
    const loss = new Float32Array(rows);
    let sum = 0;
    for (let from = 0; from < rows; from += step) {
      await checkpoint(context.signal);
      const to = Math.min(rows, from + step);
      const dims = [to - from, width];
      const results = await session.run({
        dense: float32(await this.logarithms(from, to, context), dims),
        changed: float32(await changed.read(from, to), dims),
        next: int64(next.subarray(from, to), [to - from, 1]),
      });
      // Rounding may leave a tiny negative number where nothing changed.
      for (const value of floats(results['shift']!)) sum += Math.max(0, value);
      loss.set(floats(results['loss']!), from);
    }
    return { shift: rows === 0 ? 0 : sum / rows, loss: loss.subarray(0, Math.min(rows, tokens.length)) };
  }

  private async logarithms(from: number, to: number, { runtime }: Context): Promise<Float32Array> {
    const known = this.known.get(from);
    if (known) return known;
    const { rows, width } = this.dense;
    const session = await runtime.graph('logarithms of probabilities', g => {
      const logits = g.input('logits', 'float32', ['rows', 'width']);
      g.output('logarithms', g.op('LogSoftmax', [logits], { axis: -1 }));
    });
    const logits = float32(await this.dense.read(from, to), [to - from, width]);
    const found = floats((await session.run({ logits }))['logarithms']!);
    if (4 * rows * width <= this.keepBytes) this.known.set(from, found);
    return found;
  }
}
