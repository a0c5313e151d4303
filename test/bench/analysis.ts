import { InferenceSession, Tensor } from 'onnxruntime-node';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { tokenLoss } from '../../engine/measure/loss';
import { profileCore } from '../../engine/measure/profile';
import { loadModel } from '../../engine/model/load';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { GPT2_SMALL, randomIds } from './models';

/** What a child process of the bench reports. */
export interface Timing {
  /** Best of the repeats. */
  milliseconds: number;
  /** CPU time of that run, user and system, all threads: says more than the clock on a busy machine. */
  cpuMilliseconds: number;
  peakMiB: number;
  note?: string;
}

/** The model as ONNX Runtime runs it with its own defaults: one forward pass, logits in memory. */
export async function timePlain(onnx: string, tokens: number, repeats: number): Promise<Timing> {
  const session = await InferenceSession.create(onnx);
  const forward = (length: number) => {
    const ids = BigInt64Array.from(randomIds(length, GPT2_SMALL.vocabulary), BigInt);
    return session.run({ input_ids: new Tensor('int64', ids, [1, length]) });
  };
  return best(repeats, length => forward(length), tokens);
}

/** Loading and proving alone. */
export async function timeLoad(onnx: string): Promise<Timing> {
  const runtime = await createRuntime('cpu');
  const began = performance.now();
  const before = process.cpuUsage();
  const model = await loadModel({ onnx, name: 'bench', ref: onnx }, runtime, {
    signal: neverCancelled,
    attend: (_, input) => denseOutput(input, { runtime, signal: neverCancelled }),
  });
  const used = process.cpuUsage(before);
  return {
    milliseconds: performance.now() - began,
    cpuMilliseconds: (used.user + used.system) / 1000,
    peakMiB: process.resourceUsage().maxRSS / 1024,
    note: `largest difference ${model.info.verified.maxAbsDiff.toExponential(1)}`,
  };
}

/** Dense analysis with every measure and the loss of every token. */
export async function timeAnalysis(onnx: string, tokens: number, repeats: number): Promise<Timing> {
  const runtime = await createRuntime('cpu');
  const context = { runtime, signal: neverCancelled };
  const model = await loadModel({ onnx, name: 'bench', ref: onnx }, runtime, {
    signal: neverCancelled,
    attend: (_, input) => denseOutput(input, context),
  });
  const marks = (ids: Int32Array) => ({
    ids,
    separator: Uint8Array.from(ids, id => Number(id === 0)),
    punctuation: Uint8Array.from(ids, id => Number(id < 10)),
  });
  let inCores = 0;
  let inLoss = 0;
  const timing = await best(
    repeats,
    async length => {
      const ids = randomIds(length, GPT2_SMALL.vocabulary);
      inCores = 0;
      const output = await model.run(
        ids,
        async (info, input) => {
          const began = performance.now();
          const profile = await profileCore(input, info, marks(ids), context);
          inCores += performance.now() - began;
          return profile.output;
        },
        context,
      );
      const began = performance.now();
      await tokenLoss(output, ids, context);
      inLoss = performance.now() - began;
    },
    tokens,
  );
  const note = `${seconds(inCores)} s in cores and measures, ${seconds(inLoss)} s in the head and the loss`;
  return { ...timing, note };
}

async function best(
  repeats: number,
  run: (tokens: number) => Promise<unknown>,
  tokens: number,
): Promise<Timing> {
  await run(Math.min(64, tokens)); // compile, allocate
  let milliseconds = Infinity;
  let cpuMilliseconds = Infinity;
  for (let r = 0; r < repeats; r++) {
    const began = performance.now();
    const before = process.cpuUsage();
    await run(tokens);
    milliseconds = Math.min(milliseconds, performance.now() - began);
    const used = process.cpuUsage(before);
    cpuMilliseconds = Math.min(cpuMilliseconds, (used.user + used.system) / 1000);
  }
  return { milliseconds, cpuMilliseconds, peakMiB: process.resourceUsage().maxRSS / 1024 };
}

export function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}
