import type { CoreInput } from '../../engine/attention/core';
import { denseOutput } from '../../engine/attention/dense';
import type { Mechanism } from '../../engine/attention/mechanism';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, type Tensor } from '../../engine/runtime/tensor';
import { randomCore } from '../oracle/dense';

/** Settings under which a mechanism is compared, where its defaults say something else or nothing. */
const settings: Record<string, Record<string, unknown>> = {
  local: { window: 256 },
  lsh: { rounds: 1 },
};
const given: Record<string, (heads: number) => Record<string, Tensor>> = {
  'adaptive-span': heads => ({ span: float32(new Float32Array(heads).fill(1024), [heads]) }),
};
const HEADS = 2;

/** Prints milliseconds per causal head of 64, how much faster than dense, and the exponent of growth. */
export async function benchMechanisms(lengths: readonly number[], repeats: number): Promise<void> {
  const runtime = await createRuntime('cpu');
  const context = { runtime, cancellation: neverCancelled };
  const inputs = lengths.map(queries => randomCore(queries, { heads: HEADS, queries, dim: 64 }));
  console.log(`\nMechanisms, ms per head (one layer, causal, 64 dim; local 256, span 1024, lsh 1 round):`);
  console.log(`${''.padEnd(15)}${lengths.map(n => `${n}`.padStart(20)).join('')}${'exponent'.padStart(10)}`);
  const dense = await timesOf(inputs, repeats, input => denseOutput(input, context));
  report('dense', lengths, dense, dense);
  for (const mechanism of mechanisms) {
    if (mechanism.info.name === 'dense') continue;
    report(mechanism.info.name, lengths, await timeMechanism(mechanism, inputs, repeats, runtime), dense);
  }
  await runtime.dispose();
}

async function timeMechanism(
  mechanism: Mechanism,
  inputs: readonly CoreInput[],
  repeats: number,
  runtime: Runtime,
): Promise<number[]> {
  const { name } = mechanism.info;
  const params = readParams(mechanism.info, settings[name] ?? {});
  const own = new Map<CoreInput, Record<string, Tensor>>();
  for (const input of inputs) {
    const fixed = given[name]?.(input.heads) ?? {};
    const context = { runtime, cancellation: neverCancelled, own: fixed };
    own.set(input, { ...(await mechanism.prepare?.(input, params, context)), ...fixed });
  }
  return timesOf(inputs, repeats, input =>
    mechanism.attend(input, params, { runtime, cancellation: neverCancelled, own: own.get(input)! }),
  );
}

/** Milliseconds per head, best of the repeats. */
async function timesOf(
  inputs: readonly CoreInput[],
  repeats: number,
  run: (input: CoreInput) => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = [];
  for (const input of inputs) {
    let best = Infinity;
    for (let r = 0; r <= repeats; r++) {
      const began = performance.now();
      await run(input);
      if (r > 0) best = Math.min(best, performance.now() - began); // the first run builds the graphs
    }
    times.push(best / HEADS);
  }
  return times;
}

function report(name: string, lengths: readonly number[], times: number[], dense: number[]): void {
  const cells = times.map((time, t) => `${time.toFixed(1)} (${(dense[t]! / time).toFixed(1)}x)`.padStart(20));
  console.log(`${name.padEnd(15)}${cells.join('')}${exponent(lengths, times).toFixed(2).padStart(10)}`);
}

/** Slope of the least-squares line through log(time) over log(length). */
function exponent(lengths: readonly number[], times: readonly number[]): number {
  const x = lengths.map(Math.log);
  const y = times.map(Math.log);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const slope = x.reduce((sum, value, t) => sum + (value - mx) * (y[t]! - my), 0);
  return slope / x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
}
