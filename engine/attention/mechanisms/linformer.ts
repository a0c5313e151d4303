import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { numbers, sumType, type SumType } from '../kernels/precision';
import { seededGaussians } from '../maths/random';
import { softmax } from '../kernels/rows';
import { BATCH_ELEMENTS } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import { checkpoint } from '../../runtime/cancellation';
import { asFloats, float32, type Tensor } from '../../runtime/tensor';

/**
 * Linformer: keys and values are projected along the sequence to a fixed rank, K' = E^T K, V' = F^T V. A model
 * trained dense has no E and F: means of equal stretches of the text (or random projections) stand in for them.
 */
export const linformer: Mechanism = {
  info: {
    name: 'linformer',
    title: 'Linformer',
    label: 'rank',
    hue: '#edc949',
    pale: true,
    summary: 'Keys and values are mixed down to a few, which all tokens attend to.',
    paper: 'Wang et al., Linformer: Self-Attention with Linear Complexity, 2020, section 4',
    parameters: [
      {
        name: 'rank',
        type: 'integer',
        default: 256,
        minimum: 1,
        description: 'Keys after the projection, where no projections are given.',
      },
      {
        name: 'projection',
        type: 'string',
        default: 'mean',
        choices: ['mean', 'random'],
        description: 'Means of stretches of the text, or Gaussian of variance 1/rank, where none are given.',
      },
      { name: 'seed', type: 'integer', default: 1, minimum: 0, description: 'Seed of random projections.' },
    ],
    view: 'map',
    causalSelection: false,
    approximate: true,
  },

  about: {
    what: 'Keys and values are mixed down along the text: every token attends to `rank` mixtures of all tokens.',
    rule: 'softmax(Q (EᵀK)ᵀ) (FᵀV)',
    exact:
      'Exact for given `projection_k` and `projection_v`. A model trained dense has none: means of equal stretches, or random projections, stand in. Not causal; shown here without the mask.',
    cost: 'N · rank.',
    when: 'Encoders whose heads look at regions rather than words.',
  },

  examples: [{ rank: 8 }, { rank: 4 }],
  whole: tokens => [{ rank: tokens }],

  tensors: { projection_k: { dims: ['keys', 'rank'] }, projection_v: { dims: ['keys', 'rank'] } },

  refuses: input =>
    input.rule.mask.causal
      ? 'Linformer mixes all positions and cannot be causal.'
      : refusesRule('Linformer', input),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['projection_k'] && context.own['projection_v']) return {};
    const { keys } = input;
    const rank = Math.min(keys, numberOf(params, 'rank'));
    const make = (salt: number): Tensor => {
      const data =
        wordOf(params, 'projection') === 'random'
          ? seededGaussians(keys * rank, 2 * numberOf(params, 'seed') + salt).map(x => x / Math.sqrt(rank))
          : means(keys, rank);
      return float32(data, [keys, rank]);
    };
    return { projection_k: make(0), projection_v: make(1) };
  },

  cost(tokens, params, shape) {
    const rank = Math.min(tokens, numberOf(params, 'rank'));
    const width = shape.dim + shape.valueDim;
    return pairCost(tokens * rank, shape, 'exact', {
      flops: 2 * tokens * rank * width,
      floats: rank * width,
    });
  },

  async attend(input, _params, context) {
    const e = projection(input, context, 'projection_k');
    const f = projection(input, context, 'projection_v');
    if (e.dims[1] !== f.dims[1]) throw new RefusedError('The two projections have different ranks.');
    const rank = e.dims[1]!;
    const { heads, kvHeads, queries, keys, dim, valueDim, rule } = input;
    const type = sumType(context);
    const output = new Float32Array(heads * queries * valueDim);
    const [keyMap, valueMap] = [numbers(type, e.data, e.dims), numbers(type, f.data, f.dims)];
    const lows: Low[] = [];
    for (let kv = 0; kv < kvHeads; kv++) {
      const rows = (data: Float32Array, width: number) =>
        numbers(type, data.subarray(kv * keys * width, (kv + 1) * keys * width), [keys, width]);
      lows.push({
        k: await project(keyMap, rows(input.k, dim), type, context),
        v: await project(valueMap, rows(input.v, valueDim), type, context),
      });
    }
    const session = await context.runtime.graph(`linformer|${type}`, g => {
      const q = g.op('Mul', [g.input('q', type, ['a', 'd']), g.input('scale', type, [1])]);
      const k = g.op('Transpose', [g.input('k', type, ['r', 'd'])], { perm: [1, 0] });
      const weights = g.op('Softmax', [g.op('MatMul', [q, k])], { axis: -1 });
      g.output('output', g.op('MatMul', [weights, g.input('v', type, ['r', 'e'])]), type);
    });
    const step = Math.max(1, Math.floor(BATCH_ELEMENTS / rank));
    for (let head = 0; head < heads; head++) {
      const { k, v } = lows[kvHead(input, head)]!;
      for (let from = 0; from < queries; from += step) {
        await checkpoint(context.signal);
        const to = Math.min(queries, from + step);
        const rows = input.q.subarray((head * queries + from) * dim, (head * queries + to) * dim);
        const results = await session.run({
          q: numbers(type, rows, [to - from, dim]),
          k,
          v,
          scale: numbers(type, rule.scale.subarray(head, head + 1), [1]),
        });
        output.set(asFloats(results['output']!)!, (head * queries + from) * valueDim);
      }
    }
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(queries * rank),
      row: (head, query) => {
        const weights = lowRow(input, head, query, lows[kvHead(input, head)]!);
        const full = new Float64Array(keys);
        for (let j = 0; j < keys; j++) {
          for (let r = 0; r < rank; r++) full[j]! += weights[r]! * f.data[j * rank + r]!;
        }
        return { keys: Int32Array.from(full, (_, j) => j), weights: full };
      },
      extra: {},
    };
  },
};

type Matrix = Tensor & { type: 'float32' };

function projection(input: CoreInput, context: AttendContext, name: string): Matrix {
  const tensor = context.own[name];
  if (tensor?.type !== 'float32' || tensor.dims.length !== 2 || tensor.dims[0] !== input.keys) {
    throw new RefusedError(told`"${name}" must be float32 [${input.keys}, rank].`);
  }
  return tensor;
}

/** Column r holds the mean over its stretch of the keys, [keys, rank]. */
function means(keys: number, rank: number): Float32Array {
  const matrix = new Float32Array(keys * rank);
  for (let r = 0; r < rank; r++) {
    const from = Math.floor((r * keys) / rank);
    const to = Math.floor(((r + 1) * keys) / rank);
    for (let j = from; j < to; j++) matrix[j * rank + r] = 1 / (to - from);
  }
  return matrix;
}

/** Keys and values of one key/value head after the projection, [rank, dim] and [rank, valueDim]. */
interface Low {
  k: Tensor;
  v: Tensor;
}

/** E^T X, [rank, width] */
async function project(e: Tensor, x: Tensor, type: SumType, context: AttendContext): Promise<Tensor> {
  await checkpoint(context.signal);
  const session = await context.runtime.graph(`project|${type}`, g => {
    const matrix = g.input('e', type, ['n', 'r']);
    g.output('low', g.op('Gemm', [matrix, g.input('x', type, ['n', 'd'])], { transA: 1 }), type);
  });
  return (await session.run({ e, x }))['low']!;
}

/** Softmax of one query over the projected keys, in float64. */
function lowRow(input: CoreInput, head: number, query: number, { k }: Low): Float64Array {
  const { dim, queries, q, rule } = input;
  return softmax(
    Array.from({ length: k.dims[0]! }, (_, r) => {
      let dot = 0;
      for (let c = 0; c < dim; c++)
        dot += q[(head * queries + query) * dim + c]! * Number(k.data[r * dim + c]);
      return dot * rule.scale[head]!;
    }),
  );
}
