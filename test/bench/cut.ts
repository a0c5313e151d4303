import { InferenceSession, Tensor } from 'onnxruntime-node';
import { denseOutput } from '../../engine/attention/dense';
import { loadModel } from '../../engine/model/load';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { seconds } from './analysis';
import { randomIds, type ModelShape } from './models';

/** What cutting alone costs: dense cores without measures against the uncut model, in turns within one process. */
export async function benchCut(
  onnx: string,
  shape: ModelShape,
  tokens: number,
  turns: number,
): Promise<string> {
  const runtime = await createRuntime('cpu');
  const context = { runtime, cancellation: neverCancelled };
  const model = await loadModel({ onnx, name: shape.family, ref: onnx }, runtime, {
    cancellation: neverCancelled,
    attend: (_, input) => denseOutput(input, context),
  });
  const ids = randomIds(tokens, shape.vocabulary);
  const session = await InferenceSession.create(onnx);
  const runs = {
    uncut: () =>
      session.run({ input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, tokens]) }),
    cut: async () => {
      const output = await model.run(ids, (_, input) => denseOutput(input, context), context);
      await output.read(0, tokens);
    },
  };
  const ratios: number[] = [];
  const best = { uncut: Infinity, cut: Infinity };
  for (let turn = -1; turn < turns; turn++) {
    const took = { uncut: 0, cut: 0 };
    for (const run of ['uncut', 'cut'] as const) {
      const began = performance.now();
      await runs[run]();
      took[run] = performance.now() - began;
      if (turn >= 0) best[run] = Math.min(best[run], took[run]);
    }
    if (turn >= 0) ratios.push(took.cut / took.uncut); // the first turn warms up
  }
  ratios.sort((a, b) => a - b);
  const median = ratios[ratios.length >> 1]!;
  return (
    `${shape.family}, ${shape.layers} layers, ${tokens} tokens: uncut ${seconds(best.uncut)} s, cut ${seconds(best.cut)} s, ` +
    `ratio ${median.toFixed(2)} (median of ${turns}; ${ratios[0]!.toFixed(2)} to ${ratios[ratios.length - 1]!.toFixed(2)})`
  );
}
