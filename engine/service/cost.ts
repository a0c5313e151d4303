import { availableParallelism, cpus } from 'node:os';
import type { Cost, CostShape } from '../attention/cost';
import { densePairs, type CoreInput } from '../attention/core';
import { denseCore, denseOutput } from '../attention/kernels/dense';
import { findMechanism } from '../attention/registry';
import { seededGaussians } from '../attention/maths/random';
import { SEEDS } from '../../shared/random';
import type {
  CostCurve,
  CostFormulaParams,
  CostFormulas,
  CostMeasureParams,
  CostMeasurement,
  CostPoint,
  ForwardTimes,
  Growth,
  HeadShape,
  Setting,
} from '../../shared/protocol/engine';
import { denseReads, keyBytes, readsOf } from '../measure/spending';
import { checkpoint } from '../runtime/cancellation';
import { mean, median, quantile, sum } from '../statistics';
import type { Analysis } from './analysis';
import { fitSpansOf } from './spans';
import { DENSE } from '../../shared/setting';
import { spansAt } from '../../shared/softSpan';

/** Milliseconds of runs after which a median is steady, and the most runs it is worth. */
const STEADY = 150;
const MOST_RUNS = 25;
/** Spread of the middle half of the runs, as a share of their median, beyond which a machine was busy. */
const BUSY = 0.5;
/** Rows of logits read at once, as an analysis does. */
const LOGIT_ROWS = 256;

/** `cost/formulas`: what each mechanism costs at each length by its own formula, for one head of a core. */
export async function costFormulas(
  analysis: Analysis,
  params: CostFormulaParams,
  signal: AbortSignal,
): Promise<CostFormulas> {
  const shape = headShape(analysis, params.core);
  const curve = async (choice: Setting): Promise<CostCurve> => {
    const mechanism = findMechanism(choice.name);
    const spans = spansOf(analysis, choice);
    const cost = (tokens: number, bound: keyof Growth) =>
      mechanism.cost?.(tokens, choice.params, { ...shape, ...spans?.(tokens, bound) }) ?? NO_FORMULA;
    const costs: Cost[] = [];
    const range: NonNullable<CostCurve['range']> = { low: [], high: [] };
    for (const tokens of params.lengths) {
      // Some formulas count over the text: requests that wait slip in between.
      if (tokens > LONG) await checkpoint(signal);
      costs.push(cost(tokens, 'likely'));
      if (!spans) continue;
      range.low.push(cost(tokens, 'least').pairs);
      range.high.push(cost(tokens, 'most').pairs);
    }
    return {
      ...(spans && { range }),
      choice,
      count: costs.some(c => c.count === 'most') ? 'most' : worst(costs),
      pairs: costs.map(c => c.pairs),
      flops: costs.map(c => c.flops),
      bytes: costs.map(c => c.bytes),
      refused: mechanism.refuses?.(randomHead(shape, 2), choice.params) ?? null,
    };
  };
  const reads = params.lengths.map(tokens => denseReads(tokens, shape.causal));
  const dense: CostCurve = {
    ...(await curve(DENSE)),
    blocks: reads.map(({ blocks }) => blocks),
    held: reads.map(({ held }) => held),
  };
  const curves: CostCurve[] = [];
  for (const choice of params.mechanisms) if (choice.name !== 'dense') curves.push(await curve(choice));
  const { heads, kvHeads } = analysis.core(params.core).outline;
  const bytes = keyBytes(shape, kvHeads / heads);
  return { shape, keyBytes: bytes, lengths: params.lengths, dense, curves, check: bertBase() };
}

const LONG = 8192;
const NO_FORMULA: Cost = { pairs: NaN, count: 'most', flops: NaN, bytes: NaN };

function worst(costs: readonly Cost[]): CostCurve['count'] {
  return costs.some(c => c.count === 'expected') ? 'expected' : 'exact';
}

/** The table that the memory of dense attention is known by: BERT-base, float32, one text, 12 heads of 64 in 12 layers. */
function bertBase(): CostFormulas['check'] {
  const { cost } = findMechanism('dense');
  const layer = (tokens: number) => 12 * cost!(tokens, {}, { dim: 64, valueDim: 64, causal: false }).bytes;
  const all = (tokens: number, published: string) => ({
    model: 'BERT-base',
    what: 'all 12 layers',
    tokens,
    bytes: 12 * layer(tokens),
    published,
  });
  return [
    { model: 'BERT-base', what: 'one layer', tokens: 512, bytes: layer(512), published: '12 MB (MiB)' },
    all(512, '151 MB'),
    all(1024, '604 MB'),
    all(2048, '2.4 GB'),
  ];
}

function headShape(analysis: Analysis, core: number): HeadShape {
  const { dim, valueDim, rule } = analysis.core(core).outline;
  const { cores } = analysis.model.info;
  const heads = cores.reduce((sum, info) => sum + info.heads, 0);
  return { dim, valueDim, causal: rule.mask.causal, heads, layerHeads: cores[core]!.heads };
}

/**
 * What has spans costs what the spans cost that the model's heads need on this text; longer texts need longer ones where this
 * one's length has cut them off.
 */
function spansOf(
  analysis: Analysis,
  { name, params }: Setting,
): ((tokens: number, bound: keyof Growth) => Pick<CostShape, 'spans' | 'extrapolated'>) | null {
  const wish = findMechanism(name).spans?.wish(params);
  if (!wish) return null;
  if ('span' in wish) return () => ({ spans: [wish.span] });
  const fit = fitSpansOf(analysis, { id: analysis.id, ...wish });
  const fitted = analysis.tokens.ids.length;
  const grows = fit.heads.some(({ growth }) => growth.most > 0);
  return (tokens, bound) => ({
    spans: spansAt(fit, fitted, tokens)[bound],
    extrapolated: tokens > fitted && grows,
  });
}

// ---------------------------------------------------------------- measuring

export interface MeasureHooks {
  signal: AbortSignal;
  memoryLimitMiB: number;
  onPoint(fraction: number, message: string, point: CostPoint | null): void;
}

/**
 * `cost/measure`: one head of random tensors through every mechanism at every length, shortest first. What would take
 * longer than allowed, or more memory, is left out, and said.
 */
export async function measureCosts(
  analysis: Analysis,
  params: CostMeasureParams,
  { signal, memoryLimitMiB, onPoint }: MeasureHooks,
): Promise<CostMeasurement> {
  const shape = headShape(analysis, params.core);
  const choices = [DENSE, ...params.mechanisms.filter(({ name }) => name !== 'dense')];
  const lengths = [...new Set(params.lengths)].sort((a, b) => a - b);
  const points: CostPoint[] = [];
  const notes: string[] = [];
  const stopped = new Set<Setting>();
  let done = 0;
  for (const tokens of lengths) {
    // Known before tensors of that length are made.
    const large = tooLarge(shape, tokens, memoryLimitMiB);
    const input = large === null ? randomHead(shape, tokens) : null;
    for (const choice of choices) {
      await checkpoint(signal);
      const { info, refuses } = findMechanism(choice.name);
      const fraction = done++ / (lengths.length * choices.length);
      if (stopped.has(choice)) continue;
      const earlier = points.filter(p => p.choice === choice);
      const reason =
        large ??
        (input && refuses?.(input, choice.params)) ??
        tooSlow(earlier, tokens, params.secondsPerPoint);
      if (reason || !input) {
        stopped.add(choice);
        notes.push(`${info.title}${earlier.length > 0 ? ` from ${tokens} tokens` : ''}: ${reason}`);
        continue;
      }
      onPoint(fraction, `${info.title}, ${tokens} tokens`, null);
      const run = await runner(analysis, choice, input, signal);
      const point = await measurePoint(choice, tokens, run, params, signal);
      points.push(point);
      onPoint(fraction, `${info.title}, ${tokens} tokens`, point);
    }
  }
  const spreads = points.map(({ milliseconds: { median: middle, low, high } }) => (high - low) / middle);
  if (spreads.length > 0 && median(spreads) > BUSY)
    notes.push('Runs of the same point differ much: the machine was busy with other things.');
  return {
    shape,
    device: analysis.runtime.report.device,
    machine: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} threads`,
    date: new Date().toISOString(),
    points,
    notes,
  };
}

/** Time grows at most with the square of the length. */
function tooSlow(earlier: readonly CostPoint[], tokens: number, seconds: number): string | null {
  const last = earlier.at(-1);
  if (!last) return null;
  const expected = (last.milliseconds.median / 1000) * (tokens / last.tokens) ** 2;
  return expected > seconds ? `would take up to ${Math.ceil(expected)} s.` : null;
}

/** Tensors of one head, and what the mechanisms gather and hold on the way. */
function tooLarge({ dim, valueDim }: HeadShape, tokens: number, limitMiB: number): string | null {
  const needed = Math.ceil((4 * tokens * (dim + valueDim) * 12 + 64 * 2 ** 20) / 2 ** 20);
  return needed > limitMiB ? `needs about ${needed} MiB, the limit is ${limitMiB} MiB.` : null;
}

async function runner(
  analysis: Analysis,
  choice: Setting,
  input: CoreInput,
  signal: AbortSignal,
): Promise<() => Promise<Ran>> {
  if (choice.name === 'dense') {
    return async () => {
      await denseCore(input, analysis.context(signal));
      return {
        pairs: densePairs(input),
        reads: () => denseReads(input.queries, input.rule.mask.causal),
      };
    };
  }
  const mechanism = findMechanism(choice.name);
  const spans = spansOf(analysis, choice)?.(input.keys, 'likely').spans;
  const params = spans ? mechanism.spans!.given(choice.params, mean(Array.from(spans))) : choice.params;
  // What is made from the text once (centroids, rotations, projections) is not part of the time.
  const made = await mechanism.prepare?.(input, params, analysis.context(signal));
  return async () => {
    const context = analysis.context(signal, made);
    const attended = await mechanism.attend(input, params, context);
    return {
      pairs: attended.pairs[0]!,
      // Where no set of pairs is kept, no block is skipped and no key is let go of.
      reads: () => (attended.lse ? readsOf(input, attended, 0) : null),
    };
  };
}

/** What a run of one head kept; counting what it read takes as long as its pairs do. */
interface Ran {
  pairs: number;
  reads(): ReturnType<typeof denseReads> | null;
}

async function measurePoint(
  choice: Setting,
  tokens: number,
  run: () => Promise<Ran>,
  { repetitions, secondsPerPoint }: CostMeasureParams,
  signal: AbortSignal,
): Promise<CostPoint> {
  // The first run builds graphs and is not counted.
  const { pairs, reads } = await run();
  const read = reads();
  const times: number[] = [];
  // Short runs are repeated more often: their medians shake more.
  while (times.length < repetitions || (sum(times) < STEADY && times.length < MOST_RUNS)) {
    // Requests that wait slip in between, outside of what is timed.
    await checkpoint(signal);
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
    if (sum(times) > secondsPerPoint * 1000) break;
  }
  const milliseconds = {
    median: median(times),
    low: quantile(times, 0.25),
    high: quantile(times, 0.75),
    runs: times.length,
  };
  return { choice, tokens, milliseconds, pairs, ...read };
}

/** Normally distributed queries, keys and values of one head: scores of variance 1, as attention starts out. */
function randomHead({ dim, valueDim, causal }: HeadShape, tokens: number): CoreInput {
  return {
    heads: 1,
    kvHeads: 1,
    queries: tokens,
    keys: tokens,
    dim,
    valueDim,
    q: seededGaussians(tokens * dim, SEEDS.costTensors),
    k: seededGaussians(tokens * dim, SEEDS.costTensors + 1),
    v: seededGaussians(tokens * valueDim, SEEDS.costTensors + 2),
    rule: {
      scale: Float32Array.of(1 / Math.sqrt(dim)),
      softCap: null,
      mask: { causal, window: null },
      bias: null,
    },
  };
}

// ---------------------------------------------------------------- the whole forward

/** `cost/forward`: how the time of the dense model divides between its cores and what lies between them. */
export async function forwardTimes(
  analysis: Analysis,
  runs: number,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<ForwardTimes> {
  const context = analysis.context(signal);
  const all: { attention: number[]; rest: number[]; output: number }[] = [];
  for (let r = 0; r < runs; r++) {
    const attention: number[] = [];
    const rest: number[] = [];
    let last = performance.now();
    const lap = () => {
      const now = performance.now();
      const passed = now - last;
      last = now;
      return passed;
    };
    const output = await analysis.run(
      async (info, input) => {
        rest[info.core] = lap();
        const result = await denseOutput(input, context);
        attention[info.core] = lap();
        return result;
      },
      { signal, onSegment: fraction => onProgress((r + fraction) / runs) },
    );
    for (let from = 0; from < output.rows; from += LOGIT_ROWS) {
      await checkpoint(signal);
      await output.read(from, Math.min(output.rows, from + LOGIT_ROWS));
    }
    all.push({ attention, rest, output: lap() });
  }
  const middle = (pick: (run: (typeof all)[number]) => number) => median(all.map(pick));
  return {
    tokens: analysis.tokens.ids.length,
    device: analysis.runtime.report.device,
    cores: analysis.model.info.cores.map(({ core }) => ({
      core,
      attention: middle(run => run.attention[core] ?? 0),
      rest: middle(run => run.rest[core] ?? 0),
    })),
    output: middle(run => run.output),
    runs,
  };
}
