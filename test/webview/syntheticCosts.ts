/** Costs for the views without a model: real formulas, made-up times. */
import type { Cost } from '../../engine/attention/cost';
import { findMechanism } from '../../engine/attention/registry';
import { denseReads } from '../../engine/measure/spending';
import type {
  CostCurve,
  CostFormulaParams,
  CostFormulas,
  CostMeasureParams,
  CostMeasurement,
  CostPoint,
  ForwardTimes,
  HeadShape,
  Setting,
} from '../../shared/protocol/engine';
import { setting } from '../support/settings';

const SHAPE: HeadShape = { dim: 64, valueDim: 64, causal: true, heads: 48 };
const REFUSED = ['linformer', 'nystrom', 'continuous'];

function curve(choice: Setting, lengths: readonly number[]): CostCurve {
  const mechanism = findMechanism(choice.name);
  const shape = choice.name === 'adaptive-span' ? { ...SHAPE, spans: [3, 40, 700] } : SHAPE;
  const costs = lengths.map((n): Cost => mechanism.cost!(n, choice.params, shape));
  return {
    choice,
    count: costs.at(-1)!.count,
    pairs: costs.map(c => c.pairs),
    flops: costs.map(c => c.flops),
    bytes: costs.map(c => c.bytes),
    refused: REFUSED.includes(choice.name)
      ? `${mechanism.info.title} has no place for a bias on the scores.`
      : null,
  };
}

function denseRead(lengths: readonly number[]): Pick<CostCurve, 'blocks' | 'held'> {
  const reads = lengths.map(tokens => denseReads(tokens, SHAPE.causal));
  return { blocks: reads.map(({ blocks }) => blocks), held: reads.map(({ held }) => held) };
}

export function syntheticFormulas({ lengths, mechanisms }: CostFormulaParams): CostFormulas {
  const bert = (tokens: number) => 4 * 144 * tokens * tokens;
  return {
    shape: SHAPE,
    keyBytes: 256,
    lengths,
    dense: { ...curve(setting('dense'), lengths), ...denseRead(lengths) },
    curves: mechanisms.map(m => curve(m, lengths)),
    check: [
      { model: 'BERT-base', what: 'one layer', tokens: 512, bytes: bert(512) / 12, published: '12 MB (MiB)' },
      { model: 'BERT-base', what: 'all 12 layers', tokens: 512, bytes: bert(512), published: '151 MB' },
    ],
  };
}

/** Every mechanism has an overhead of its own and the same time per operation. */
export function syntheticMeasurement(params: CostMeasureParams): CostMeasurement {
  const choices = [setting('dense'), ...params.mechanisms];
  const points = choices.flatMap((choice, m) =>
    params.lengths.map((tokens, t): CostPoint => {
      const [c] = [curve(choice, [tokens])];
      const median = 0.15 * (m + 1) + c.flops[0]! * (m === 0 ? 2e-8 : 4e-8);
      const wobble = 1 + 0.1 * Math.sin(7 * m + 3 * t);
      return {
        choice: c.choice,
        tokens,
        milliseconds: { median: median * wobble, low: median * 0.85, high: median * 1.3, runs: 5 },
        pairs: c.pairs[0]!,
        ...(choice.name !== 'performer' && {
          blocks: Math.min(denseReads(tokens, true).blocks, Math.ceil(c.pairs[0]! / 128)),
          held: Math.min(tokens, 64 * (m + 1)),
        }),
      };
    }),
  );
  return {
    shape: SHAPE,
    device: 'cpu',
    machine: 'a synthetic processor, 2 threads',
    date: '2026-01-01T12:00:00.000Z',
    points,
    notes: [],
  };
}

export function syntheticForward(layers: number, tokens: number): ForwardTimes {
  const cores = Array.from({ length: layers }, (_, core) => ({
    core,
    attention: 4 + (core % 3),
    rest: core === 0 ? 3 : 9,
  }));
  return { tokens, device: 'cpu', cores, output: 14, runs: 3 };
}
