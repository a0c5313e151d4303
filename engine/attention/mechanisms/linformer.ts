import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import { sequence } from '../kernels/lists';
import {
  attendWithPast,
  pastCore,
  pastPairs,
  pastSegmentParameter,
  refusesPast,
  stretches,
  stretchMeans,
  type Past,
  type Summary,
} from '../kernels/pastSummary';
import { refusesRule } from '../kernels/plainCore';
import { numbers, sumType, type SumType } from '../kernels/precision';
import { seededGaussians } from '../maths/random';
import { scoresWith, softmax } from '../kernels/rows';
import type { Segment } from '../kernels/segments';
import { BATCH_ELEMENTS, runTiles } from '../kernels/tiles';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { RefusedError, told } from '../../errors';
import { logSumExp } from '../../statistics';
import { checkpoint } from '../../runtime/cancellation';
import { asFloats, float32, type Tensor } from '../../runtime/tensor';

/**
 * Linformer: keys and values are projected along the sequence to a fixed rank, K' = E^T K, V' = F^T V. A model
 * trained dense has no E and F: means of equal stretches of the text (or random projections) stand in for them. The paper has
 * no causal form: here the keys before a segment are mixed down, each mixture with the weight of the tokens that it holds.
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
      pastSegmentParameter,
    ],
    view: 'map',
    causalSelection: true,
    approximate: true,
  },

  about: {
    what: 'Keys and values are mixed down along the text: every token attends to `rank` mixtures of all tokens.',
    rule: 'softmax(Q (EᵀK)ᵀ) (FᵀV)',
    exact:
      'Exact for given `projection_k` and `projection_v`. A model trained dense has none: means of equal stretches, or random projections, stand in. The paper has no causal form: under a causal mask a query sees its own segment as it is and mixtures of all before it, each with the weight of the tokens that it holds.',
    cost: 'N · rank, under a causal mask N · (segment / 2 + rank).',
    when: 'Encoders whose heads look at regions rather than words.',
  },

  examples: [{ rank: 8, segment: 8 }, { rank: 4 }, { rank: 5, segment: 6, projection: 'random' }],
  whole: tokens => [{ rank: tokens }, { rank: tokens, segment: 7 }],

  tensors: { projection_k: { dims: ['keys', 'rank'] }, projection_v: { dims: ['keys', 'rank'] } },

  refuses: input => refusesPast('Linformer', input) ?? refusesRule('Linformer', input),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    // Under a causal mask each segment has projections of its own.
    if (input.rule.mask.causal) return {};
    if (context.own['projection_k'] && context.own['projection_v']) return {};
    const { keys } = input;
    const rank = Math.min(keys, numberOf(params, 'rank'));
    const make = (salt: 0 | 1): Tensor => {
      const data = isRandom(params) ? randomProjection(keys, rank, params, salt) : means(keys, rank);
      return float32(data, [keys, rank]);
    };
    return { projection_k: make(0), projection_v: make(1) };
  },

  cost(tokens, params, shape) {
    const rank = Math.min(tokens, numberOf(params, 'rank'));
    const width = shape.dim + shape.valueDim;
    if (!shape.causal)
      return pairCost(tokens * rank, shape, 'exact', {
        flops: 2 * tokens * rank * width,
        floats: rank * width,
      });
    // Means read every key once, random projections with every mixture.
    const each = isRandom(params) ? 2 * rank : 1;
    let flops = 0;
    const pairs = pastPairs(tokens, params, (rows, start) => {
      flops += each * start * width;
      return rows * Math.min(start, rank);
    });
    return pairCost(pairs, shape, 'exact', { flops, floats: rank * width });
  },

  async attend(input, params, context) {
    if (input.rule.mask.causal) {
      if (context.own['projection_k'] ?? context.own['projection_v'])
        throw new RefusedError('Projections that are given mix the whole text, which cannot be causal.');
      return attendWithPast(input, params, new PastMixtures(input, params), context);
    }
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

const isRandom = (params: MechanismParams) => wordOf(params, 'projection') === 'random';

/** Gaussian of variance 1 / rank, [keys, rank]: for the keys (0) or the values (1). */
function randomProjection(keys: number, rank: number, params: MechanismParams, salt: 0 | 1): Float32Array {
  return seededGaussians(keys * rank, 2 * numberOf(params, 'seed') + salt).map(x => x / Math.sqrt(rank));
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
  const low = k.data as Float32Array | Float64Array;
  return softmax(scoresWith(q, (head * queries + query) * dim, low, dim, rule.scale[head]!));
}

/** What the keys before a segment are mixed down to, for one key/value head. */
interface Mixtures {
  rank: number;
  /** [rank, dim] and [rank, valueDim] */
  k: Float32Array;
  v: Float32Array;
  /** Weights of the mixtures as weights of the keys. */
  spread(weights: Float64Array): Float64Array;
}

/** Mixtures of all keys before a segment; equal for the query heads of a group. */
class PastMixtures implements Summary {
  private last: { kv: number; start: number; mixtures: Mixtures } | null = null;

  constructor(
    private readonly input: CoreInput,
    private readonly params: MechanismParams,
  ) {}

  past(head: number, segment: Segment): Past {
    const core = pastCore(this.input, head, segment);
    const { rank, k, v, spread } = this.mixturesOf(kvHead(this.input, head), core);
    const { queries: rows, keys: start, dim, q, rule } = core;
    // Each mixture stands for as many tokens.
    const each = Math.log(start / rank);
    return {
      pairs: rows * rank,
      read: async context => {
        const tiles = {
          head: 0,
          rows,
          columns: rank,
          queries: sequence(0, rows),
          keys: sequence(0, rank),
          bias: null,
        };
        const { output, lse } = await runTiles({ ...core, keys: rank, k, v }, tiles, context);
        return { output, lse: lse.map(x => x + each) };
      },
      row: query => {
        const scores = scoresWith(q, (query - segment.from) * dim, k, dim, rule.scale[0]!);
        return { weights: spread(softmax(scores)), lse: logSumExp(scores) + each };
      },
    };
  }

  private mixturesOf(kv: number, core: CoreInput): Mixtures {
    const start = core.keys;
    if (this.last?.kv !== kv || this.last.start !== start) {
      const rank = Math.min(start, numberOf(this.params, 'rank'));
      const make = isRandom(this.params) ? randomMixtures : meanMixtures;
      this.last = { kv, start, mixtures: make(core, rank, this.params) };
    }
    return this.last.mixtures;
  }
}

function meanMixtures({ k, v, keys, dim, valueDim }: CoreInput, rank: number): Mixtures {
  const at = stretches(keys, rank);
  return {
    rank,
    k: Float32Array.from(stretchMeans(k, rank, dim)),
    v: Float32Array.from(stretchMeans(v, rank, valueDim)),
    spread: weights => {
      const full = new Float64Array(keys);
      weights.forEach((weight, r) => full.fill(weight / (at(r + 1) - at(r)), at(r), at(r + 1)));
      return full;
    },
  };
}

function randomMixtures(
  { k, v, keys, dim, valueDim }: CoreInput,
  rank: number,
  params: MechanismParams,
): Mixtures {
  const values = randomProjection(keys, rank, params, 1);
  return {
    rank,
    k: mixed(randomProjection(keys, rank, params, 0), k, rank, dim),
    v: mixed(values, v, rank, valueDim),
    spread: weights =>
      Float64Array.from({ length: keys }, (_, j) =>
        weights.reduce((sum, weight, r) => sum + weight * values[j * rank + r]!, 0),
      ),
  };
}

/** E^T X, [rank, width], added up in float64. */
function mixed(e: Float32Array, x: Float32Array, rank: number, width: number): Float32Array {
  const low = new Float64Array(rank * width);
  for (let j = 0; j < x.length / width; j++) {
    for (let r = 0; r < rank; r++) {
      const factor = e[j * rank + r]!;
      for (let c = 0; c < width; c++) low[r * width + c]! += factor * x[j * width + c]!;
    }
  }
  return Float32Array.from(low);
}
