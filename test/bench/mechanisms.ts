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

/** Milliseconds per head at each length: by the clock, and of CPU time over all threads. */
interface Times {
  clock: number[];
  cpu: number[];
}

/**
 * Prints milliseconds per causal head of 64, how much faster than dense, and the exponent of growth.
 * `only`: names of mechanisms; null = all of the registry.
 */
export async function benchMechanisms(
  lengths: readonly number[],
  repeats: number,
  only: readonly string[] | null,
): Promise<void> {
  const runtime = await createRuntime('cpu');
  const context = { runtime, cancellation: neverCancelled };
  const inputs = lengths.map(queries => randomCore(queries, { heads: HEADS, queries, dim: 64 }));
  const rows = new Map<string, Times>();
  rows.set('dense', await timesOf(inputs, repeats, input => denseOutput(input, context)));
  for (const mechanism of mechanisms) {
    const { name } = mechanism.info;
    if (name === 'dense' || (only && !only.includes(name))) continue;
    rows.set(name, await timeMechanism(mechanism, inputs, repeats, runtime));
  }
  for (const kind of ['clock', 'cpu'] as const) {
    const unit = kind === 'clock' ? 'ms by the clock' : 'CPU ms of all threads';
    console.log(`\nMechanisms, ${unit} per head (causal, 64 dim; local 256, span 1024, lsh 1 round):`);
    console.log(
      `${''.padEnd(15)}${lengths.map(n => `${n}`.padStart(18)).join('')}${'exponent'.padStart(10)}`,
    );
    for (const [name, times] of rows) report(name, lengths, times[kind], rows.get('dense')![kind]);
  }
  await runtime.dispose();
}

async function timeMechanism(
  mechanism: Mechanism,
  inputs: readonly CoreInput[],
  repeats: number,
  runtime: Runtime,
): Promise<Times> {
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

/** Best of the repeats, after a first run that builds the graphs. */
async function timesOf(
  inputs: readonly CoreInput[],
  repeats: number,
  run: (input: CoreInput) => Promise<unknown>,
): Promise<Times> {
  const times: Times = { clock: [], cpu: [] };
  for (const input of inputs) {
    let clock = Infinity;
    let cpu = Infinity;
    await run(input);
    for (let r = 0; r < repeats; r++) {
      const began = performance.now();
      const before = process.cpuUsage();
      await run(input);
      clock = Math.min(clock, performance.now() - began);
      const used = process.cpuUsage(before);
      cpu = Math.min(cpu, (used.user + used.system) / 1000);
    }
    times.clock.push(clock / HEADS);
    times.cpu.push(cpu / HEADS);
  }
  return times;
}

function report(name: string, lengths: readonly number[], times: number[], dense: number[]): void {
  const cells = times.map((time, t) => `${time.toFixed(1)} (${(dense[t]! / time).toFixed(1)}x)`.padStart(18));
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
