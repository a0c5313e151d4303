import { CountingRuntime, timeOfProduct, type Bounds } from './bounds';
import { densePairs, type CoreInput } from '../../engine/attention/core';
import { denseOutput } from '../../engine/attention/kernels/dense';
import type { Mechanism } from '../../engine/attention/mechanism';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { RefusedError } from '../../engine/errors';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { float32, floats, type Tensor } from '../../engine/runtime/tensor';
import { putResults, table } from '../../scripts/lib/results';
import { randomCore } from '../oracle/dense';

/** Settings under which a mechanism is compared, where its defaults say something else or nothing. */
const settings: Record<string, Record<string, unknown>> = {
  local: { window: 256 },
  lsh: { rounds: 1 },
};
type Given = (input: Pick<CoreInput, 'heads' | 'keys'>) => Record<string, Tensor>;
const given: Record<string, Given> = { 'adaptive-span': spansOfAll(() => 1024) };
/** A span that leaves out little must not take longer than dense: of 91 % of the pairs, and of all of them. */
const wideSpans: Record<string, Given> = {
  'span, 91 %': spansOfAll(keys => 0.7 * keys),
  'span, all': spansOfAll(keys => keys),
};

function spansOfAll(span: (keys: number) => number): Given {
  return ({ heads, keys }) => ({ span: float32(new Float32Array(heads).fill(span(keys)), [heads]) });
}

const HEADS = 2;
const DIM = 64;

/** A length is left out when a head is expected to take longer than this there, by its growth so far. */
const PATIENCE_MS = 20_000;

/** Milliseconds per head at each length, by the clock and of CPU time over all threads; null = left out. */
interface Times {
  clock: (number | null)[];
  cpu: (number | null)[];
}

/** One line of the tables. */
export interface Row {
  name: string;
  times: Times;
  dense: Times;
  /** Growth of the operations by its own formula between the two longest lengths; null = it has no formula. */
  formula: number | null;
  /** At the longest length. */
  bounds: Bounds | null;
  note: string;
}

/**
 * Dense in blocks and mechanisms on random heads of 64 (causal, where the mechanism has a causal form). `only`: names of
 * mechanisms; null = all of the registry.
 */
export async function timeMechanisms(
  lengths: readonly number[],
  repeats: number,
  only: readonly string[] | null,
): Promise<Row[]> {
  const runtime = new CountingRuntime(await createRuntime('cpu'));
  const perProduct = await timeOfProduct(runtime, DIM);
  const context = { runtime, signal: neverCancelled };
  const inputs = (causal: boolean) => {
    const rule = { mask: { causal, window: null } };
    return lengths.map(queries => randomCore(queries, { heads: HEADS, queries, dim: DIM, rule }));
  };
  const timeDense = async (causal: boolean): Promise<Row> => {
    const times = await timesOf(inputs(causal), repeats, input => denseOutput(input, context));
    const name = causal ? 'dense' : 'dense, full';
    return { name, times, dense: times, formula: 2, bounds: null, note: '' };
  };
  const causal = await timeDense(true);
  const rows = [causal];
  let full: Row | null = null;
  for (const mechanism of mechanisms) {
    const { name } = mechanism.info;
    if (name === 'dense' || (only && !only.includes(name))) continue;
    const formula = formulaExponent(mechanism, lengths);
    try {
      const time = (own?: Given) =>
        timeMechanism(mechanism, inputs(true), repeats, runtime, perProduct, own ?? given[name]);
      rows.push({ name, ...(await time()), dense: causal.times, formula, note: '' });
      for (const [wide, own] of name === 'adaptive-span' ? Object.entries(wideSpans) : [])
        rows.push({ name: wide, ...(await time(own)), dense: causal.times, formula: 2, note: '' });
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      if (!full) rows.push((full = await timeDense(false)));
      const timed = await timeMechanism(mechanism, inputs(false), repeats, runtime, perProduct, given[name]);
      rows.push({ name, ...timed, dense: full.times, formula, note: 'not causal, against dense full' });
    }
    console.error(`(${name} is measured)`);
  }
  await runtime.dispose();
  return rows;
}

/** Times faster than dense that are aimed at, at this length. */
const AIMED_AT = 32_768;
const AIMS: Record<string, number> = {
  ...{ local: 80, streaming: 80, strided: 40, fixed: 40, lsh: 40, routing: 40, 'adaptive-span': 40 },
  ...{ sparsefinder: 15, 'vertical-slash': 15 },
};

/** Tables of how long a head takes, how much faster that is than dense, and what bounds it; `--write` puts them into docs/results.md. */
export async function benchMechanisms(...given: Parameters<typeof timeMechanisms>): Promise<void> {
  const [lengths] = given;
  const rows = await timeMechanisms(...given);
  const bounded = rows.filter(({ bounds }) => bounds !== null);
  const aims = lengths.at(-1) === AIMED_AT ? AIMS : {};
  const parts = [timesTable(rows, lengths), boundsTable(bounded, aims)];
  if (process.argv.includes('--write')) putResults('bench -- --only mechanisms', parts);
  else console.log(`\n${parts.join('\n\n')}`);
}

function timesTable(rows: readonly Row[], lengths: readonly number[]): string {
  const last = lengths.length - 1;
  const told = ({ times, dense }: Row, kind: keyof Times, t: number) => {
    const [time, base] = [times[kind][t], dense[kind][t]];
    return time == null
      ? 'left out'
      : `${time.toFixed(1)} (${base == null ? '-' : `${(base / time).toFixed(1)}x`})`;
  };
  const long = lengths[last]!.toLocaleString('en');
  return table(
    [
      'mechanism',
      ...lengths.map(n => `${n.toLocaleString('en')} CPU ms`),
      `${long} ms by the clock`,
      'exponent',
      'by formula',
    ],
    rows.map(row => {
      const measured = lengths.flatMap((length, t) =>
        row.times.cpu[t] == null ? [] : [[length, row.times.cpu[t]]],
      );
      const growth = exponent(
        measured.map(([length]) => length!),
        measured.map(([, time]) => time!),
      );
      return [
        row.name,
        ...lengths.map((_, t) => told(row, 'cpu', t)),
        told(row, 'clock', last),
        growth.toFixed(2),
        [row.formula?.toFixed(2) ?? '', row.note].filter(text => text !== '').join(', '),
      ];
    }),
  );
}

function boundsTable(rows: readonly Row[], aims: Record<string, number>): string {
  return table(
    [
      'mechanism',
      'CPU of a head',
      'faster',
      'aim',
      'pairs allow',
      'products of these pairs alone',
      'outside ONNX Runtime',
    ],
    rows.map(({ name, times, dense, bounds }) => {
      const [own, base] = [times.cpu.at(-1), dense.cpu.at(-1)];
      const { fewer, products, inRuntime } = bounds!;
      return [
        name,
        own == null ? 'left out' : `${own.toFixed(0)} ms`,
        own == null || base == null ? '' : `${(base / own).toFixed(1)}x`,
        aims[name] ? `${aims[name]}x` : '',
        fewer === null ? '' : `${fewer.toFixed(fewer < 20 ? 1 : 0)}x`,
        products === null ? '' : `${products.toFixed(0)} ms`,
        `${(100 * (1 - inRuntime)).toFixed(0)} %`,
      ];
    }),
  );
}

const paramsOf = ({ info }: Mechanism) => readParams(info, settings[info.name] ?? {});

async function timeMechanism(
  mechanism: Mechanism,
  inputs: readonly CoreInput[],
  repeats: number,
  runtime: CountingRuntime,
  perProduct: number,
  fixedOf: Given = () => ({}),
): Promise<{ times: Times; bounds: Bounds | null }> {
  const params = paramsOf(mechanism);
  const own = new Map<CoreInput, Record<string, Tensor>>();
  let bounds: Bounds | null = null;
  const times = await timesOf(inputs, repeats, async input => {
    if (!own.has(input)) {
      const fixed = fixedOf(input);
      const context = { runtime, signal: neverCancelled, own: fixed };
      own.set(input, { ...(await mechanism.prepare?.(input, params, context)), ...fixed });
    }
    const [before, inRuns] = [process.cpuUsage(), runtime.milliseconds];
    const context = { runtime, signal: neverCancelled, own: own.get(input)! };
    const { pairs, lse } = await mechanism.attend(input, params, context);
    const used = process.cpuUsage(before);
    const inRuntime = (1000 * (runtime.milliseconds - inRuns)) / (used.user + used.system);
    const kept = pairs.reduce((all, one) => all + one, 0) / pairs.length;
    bounds = {
      fewer: lse && densePairs(input) / kept,
      products: lse && 2 * kept * DIM * perProduct,
      inRuntime,
    };
  });
  return { times, bounds };
}

/** Best of the repeats, after a first run that fits its tensors and builds its graphs. */
async function timesOf(
  inputs: readonly CoreInput[],
  repeats: number,
  run: (input: CoreInput) => Promise<unknown>,
): Promise<Times> {
  const times: Times = { clock: [], cpu: [] };
  for (const [at, input] of inputs.entries()) {
    const [last, before] = [times.cpu[at - 1], times.cpu[at - 2]];
    if (at > 1 && (last == null || last * Math.max(4, last / (before ?? last)) > PATIENCE_MS)) {
      times.clock.push(null);
      times.cpu.push(null);
      continue;
    }
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

/** How the operations of its formula grow between the two longest lengths. */
function formulaExponent(mechanism: Mechanism, lengths: readonly number[]): number | null {
  const last = lengths.slice(-2);
  const shape = { dim: DIM, valueDim: DIM, causal: true, ...spansOf(mechanism) };
  const costs = last.map(tokens => mechanism.cost?.(tokens, paramsOf(mechanism), shape).flops);
  return last.length === 2 && costs[0] && costs[1] ? exponent(last, costs as number[]) : null;
}

function spansOf({ info }: Mechanism): { spans?: Float32Array } {
  const { span } = given[info.name]?.({ heads: 1, keys: 0 }) ?? {};
  return span ? { spans: floats(span) } : {};
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
