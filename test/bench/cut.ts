import { InferenceSession, Tensor } from 'onnxruntime-node';
import { denseOutput } from '../../engine/attention/kernels/dense';
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
  const context = { runtime, signal: neverCancelled };
  const model = await loadModel({ onnx, name: shape.family, ref: onnx }, runtime, {
    signal: neverCancelled,
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
  const ratios = { clock: [] as number[], cpu: [] as number[] };
  const best = { uncut: Infinity, cut: Infinity };
  for (let turn = -1; turn < turns; turn++) {
    const took = { uncut: { clock: 0, cpu: 0 }, cut: { clock: 0, cpu: 0 } };
    for (const run of ['uncut', 'cut'] as const) {
      await new Promise(resolve => setTimeout(resolve, 50)); // the threads of the uncut session spin for a while
      const began = performance.now();
      const before = process.cpuUsage();
      await runs[run]();
      const used = process.cpuUsage(before);
      took[run] = { clock: performance.now() - began, cpu: used.user + used.system };
      if (turn >= 0) best[run] = Math.min(best[run], took[run].clock);
    }
    if (turn < 0) continue; // the first turn warms up
    for (const kind of ['clock', 'cpu'] as const) ratios[kind].push(took.cut[kind] / took.uncut[kind]);
  }
  const spread = (values: number[]) => {
    const sorted = [...values].sort((a, b) => a - b).map(ratio => ratio.toFixed(2));
    return `${sorted[sorted.length >> 1]} (${sorted[0]} to ${sorted[sorted.length - 1]})`;
  };
  return (
    `${shape.family}, ${shape.layers} layers, ${tokens} tokens: uncut ${seconds(best.uncut)} s, cut ${seconds(best.cut)} s, ` +
    `ratio, median of ${turns}: ${spread(ratios.clock)}, of CPU time ${spread(ratios.cpu)}`
  );
}
