import { kvHead, type CoreInput } from './core';
import { pairCost } from './cost';
import type { AttendContext, Mechanism } from './mechanism';
import { numberOr } from './parameters';
import { refusesRule } from './plainCore';
import { seededGaussians } from './random';
import { softmax } from './rows';
import { BATCH_ELEMENTS, Outputs } from './tiles';
import { RefusedError } from '../errors';
import { float32, floats, type Tensor } from '../runtime/tensor';

/**
 * Linformer: keys and values are projected along the sequence to a fixed rank, K' = E^T K, V' = F^T V. A model
 * trained dense has no E and F: means of equal stretches of the text (or random projections) stand in for them.
 */
export const linformer: Mechanism = {
  info: {
    name: 'linformer',
    title: 'Linformer',
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
  },

  refuses: input =>
    input.rule.mask.causal
      ? 'Linformer mixes all positions and cannot be causal.'
      : refusesRule('Linformer', input),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['projection_k'] && context.own['projection_v']) return {};
    const { keys } = input;
    const rank = Math.min(keys, numberOr(params, 'rank', 256));
    const make = (salt: number): Tensor => {
      const data =
        params['projection'] === 'random'
          ? seededGaussians(keys * rank, 2 * numberOr(params, 'seed', 1) + salt).map(x => x / Math.sqrt(rank))
          : means(keys, rank);
      return float32(data, [keys, rank]);
    };
    return { projection_k: make(0), projection_v: make(1) };
  },

  cost(tokens, params, shape) {
    const rank = Math.min(tokens, numberOr(params, 'rank', 256));
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
    const low: CoreInput = {
      ...input,
      keys: rank,
      k: await project(e, input.k, input.kvHeads, input.dim, context),
      v: await project(f, input.v, input.kvHeads, input.valueDim, context),
    };
    const outputs = new Outputs(low);
    const step = Math.max(1, Math.floor(BATCH_ELEMENTS / rank));
    const keys = Int32Array.from({ length: rank }, (_, r) => r);
    for (let head = 0; head < input.heads; head++) {
      for (let from = 0; from < input.queries; from += step) {
        const rows = Math.min(step, input.queries - from);
        const queries = Int32Array.from({ length: rows }, (_, r) => from + r);
        await outputs.add({ head, rows, columns: rank, queries, keys, bias: null }, context);
      }
    }
    return {
      output: outputs.output,
      lse: null,
      pairs: new Float64Array(input.heads).fill(input.queries * rank),
      row: (head, query) => {
        const weights = lowRow(low, head, query);
        const full = new Float64Array(input.keys);
        for (let j = 0; j < input.keys; j++) {
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
    throw new RefusedError(`"${name}" must be float32 [${input.keys}, rank].`);
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

/** E^T X for every key/value head, [kvHeads, rank, width]. */
async function project(
  e: Matrix,
  x: Float32Array,
  kvHeads: number,
  width: number,
  context: AttendContext,
): Promise<Float32Array> {
  const [keys, rank] = e.dims as [number, number];
  const session = await context.runtime.graph('project', g => {
    const matrix = g.input('e', 'float32', ['n', 'r']);
    g.output('low', g.op('Gemm', [matrix, g.input('x', 'float32', ['n', 'd'])], { transA: 1 }));
  });
  const low = new Float32Array(kvHeads * rank * width);
  for (let h = 0; h < kvHeads; h++) {
    const rows = float32(x.subarray(h * keys * width, (h + 1) * keys * width), [keys, width]);
    const results = await session.run({ e, x: rows });
    low.set(floats(results['low']!), h * rank * width);
  }
  return low;
}

/** Softmax of one query over the projected keys, in float64. */
function lowRow(low: CoreInput, head: number, query: number): Float64Array {
  const { dim, keys, q, k, rule } = low;
  const kv = kvHead(low, head);
  return softmax(
    Array.from({ length: keys }, (_, r) => {
      let dot = 0;
      for (let c = 0; c < dim; c++) {
        dot += q[(head * low.queries + query) * dim + c]! * k[(kv * keys + r) * dim + c]!;
      }
      return dot * rule.scale[head]!;
    }),
  );
}
