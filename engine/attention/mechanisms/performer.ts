import { densePairs, kvHead, visibleKeys, type CoreInput } from '../core';
import { visiblePairs } from '../cost';
import type { AttendContext, Mechanism, SparseRow } from '../mechanism';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { numberOf, numberOrAuto } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { seededGaussians } from '../maths/random';
import { RefusedError, told } from '../../errors';
import { checkpoint } from '../../runtime/cancellation';
import type { GraphBuilder, Value } from '../../runtime/graphBuilder';
import { float32, floats, type Tensor } from '../../runtime/tensor';

/** Added to every feature before its scaling, as in the authors' code; biases the map towards uniform. */
const FEATURE_EPSILON = 1e-4;
/** Added to the sums of key features under a causal mask, as in the authors' code. */
const SUM_EPSILON = 1e-6;
/** Tokens per run. */
const CHUNK = 256;

/**
 * Performer (FAVOR+): softmax attention by positive random features, in time linear in the text. Largest features are
 * taken out per query, and over all keys of a head; so a trace of the future gets into a causal map (through the
 * epsilon).
 */
export const performer: Mechanism = {
  info: {
    name: 'performer',
    title: 'Performer',
    label: 'FAVOR',
    hue: '#59a14f',
    pale: true,
    summary: 'Approximates the whole map by random features, in linear time.',
    paper: 'Choromanski et al., Rethinking Attention with Performers, 2021, section 2',
    parameters: [
      {
        name: 'features',
        type: 'integer',
        default: null,
        defaultRule: 'dim times its natural logarithm',
        minimum: 1,
        description: 'Random features, where no projection is given.',
      },
      { name: 'seed', type: 'integer', default: 1, minimum: 0, description: 'Seed of the projection.' },
    ],
    view: 'map',
    causalSelection: false,
    approximate: true,
  },

  about: {
    what: 'The whole map, approximated by positive random features in linear time.',
    rule: 'φ(x) = exp(Wx - |x|²/2), O = φ(Q) (φ(K)ᵀ V), row by row normalised',
    exact:
      'The authors’ stabilisers and epsilons. The error grows quickly with the norms of queries and keys: a sharp head becomes almost even, as in the picture. Under a causal mask a trace of the future comes in through the largest key feature.',
    cost: 'N · features · dim.',
    when: 'Heads with small scores. It keeps no set of pairs, so there is no recall: look at the output error.',
  },

  examples: [{ features: 60 }, { features: 24 }, { features: 12 }],
  whole: () => [],

  tensors: { projection: { dims: ['features', 'dim'] } },

  refuses(input) {
    if (input.rule.mask.causal && input.queries > input.keys) {
      return 'Performer needs a key for every query under a causal mask.';
    }
    return refusesRule('Performer', input);
  },

  settle: ({ dim }, params) => ({ features: featureCount(dim, params) }),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['projection']) return {};
    const { dim } = input;
    const features = featureCount(dim, params);
    const rows = orthogonalFeatures(features, dim, numberOf(params, 'seed'));
    return { projection: float32(rows, [features, dim]) };
  },

  /** The implied map is dense, and never made: features of queries and keys, and their products with the values. */
  cost(tokens, params, { dim, valueDim, causal }) {
    const features = featureCount(dim, params);
    return {
      pairs: visiblePairs(tokens, causal),
      count: 'exact',
      flops: 4 * tokens * features * dim + 4 * tokens * features * (valueDim + 1),
      bytes: 4 * features * (2 * tokens + valueDim + 1),
    };
  },

  async attend(input, _params, context) {
    const projection = givenProjection(input, context);
    const { heads, queries, valueDim } = input;
    const output = new Float32Array(heads * queries * valueDim);
    for (let head = 0; head < heads; head++) {
      await attendHead(input, head, projection, output.subarray(head * queries * valueDim), context);
    }
    let keyFeatures: { head: number; rows: Float64Array } | null = null;
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(densePairs(input)),
      row: (head, query) => {
        if (keyFeatures?.head !== head) {
          keyFeatures = { head, rows: featuresOfKeys(input, head, projection) };
        }
        return impliedRow(input, head, query, projection, keyFeatures.rows);
      },
      extra: {},
    };
  },
};

type Projection = Tensor & { type: 'float32' };

function givenProjection(input: CoreInput, { own }: AttendContext): Projection {
  const tensor = own['projection'];
  if (tensor?.type !== 'float32' || tensor.dims.length !== 2 || tensor.dims[1] !== input.dim) {
    throw new RefusedError(told`"projection" must be float32 [features, ${input.dim}].`);
  }
  return tensor;
}

function featureCount(dim: number, params: MechanismParams): number {
  return numberOrAuto(params, 'features', Math.max(1, Math.floor(dim * Math.log(dim))));
}

/** Blocks of `dim` orthonormal rows, each row as long as a Gaussian vector (section 2.4). */
function orthogonalFeatures(features: number, dim: number, seed: number): Float32Array {
  const rows = Float64Array.from(seededGaussians(features * dim, 2 * seed));
  const lengths = seededGaussians(features * dim, 2 * seed + 1);
  for (let r = 0; r < features; r++) {
    const row = rows.subarray(r * dim, (r + 1) * dim);
    for (let b = r - (r % dim); b < r; b++) {
      const other = rows.subarray(b * dim, (b + 1) * dim);
      const along = row.reduce((sum, x, c) => sum + x * other[c]!, 0);
      row.forEach((x, c) => (row[c] = x - along * other[c]!));
    }
    const norm = Math.hypot(...row);
    row.forEach((x, c) => (row[c] = x / norm));
  }
  return Float32Array.from(rows, (x, t) => {
    const r = Math.floor(t / dim);
    return x * Math.hypot(...lengths.subarray(r * dim, (r + 1) * dim));
  });
}

async function attendHead(
  input: CoreInput,
  head: number,
  projection: Projection,
  output: Float32Array,
  context: AttendContext,
): Promise<void> {
  const { dim, valueDim, queries, keys, rule } = input;
  const features = projection.dims[0]!;
  const kv = kvHead(input, head);
  const { runtime } = context;
  const shared = {
    w: projection,
    root: float32(Float32Array.of(Math.sqrt(rule.scale[head]!)), [1]),
    ratio: float32(Float32Array.of(1 / Math.sqrt(features)), [1]),
  };
  const rows = (data: Float32Array, width: number, first: number, from: number, to: number) =>
    float32(data.subarray((first + from) * width, (first + to) * width), [to - from, width]);
  const k = (from: number, to: number) => rows(input.k, dim, kv * keys, from, to);
  const v = (from: number, to: number) => rows(input.v, valueDim, kv * keys, from, to);
  const q = (from: number, to: number) => rows(input.q, dim, head * queries, from, to);

  const largest = await runtime.graph('performer-max', buildMax);
  let top = -Infinity;
  for (let from = 0; from < keys; from += 4 * CHUNK) {
    await checkpoint(context.signal);
    const { max } = await largest.run({
      x: k(from, Math.min(keys, from + 4 * CHUNK)),
      w: shared.w,
      root: shared.root,
    });
    top = Math.max(top, floats(max!)[0]!);
  }

  // What the queries so far may read: the sum of key features times values, and of key features.
  let state: Tensor = float32(new Float32Array(features * valueDim), [features, valueDim]);
  let sum: Tensor = float32(new Float32Array(features), [features, 1]);
  const max = float32(Float32Array.of(top), [1]);
  const absorb = await runtime.graph('performer-absorb', buildAbsorb);
  const take = async (begin: number, end: number) => {
    for (let from = begin; from < end; from += CHUNK) {
      await checkpoint(context.signal);
      const to = Math.min(end, from + CHUNK);
      const next = await absorb.run({ ...shared, x: k(from, to), v: v(from, to), max, state, sum });
      state = next['newState']!;
      sum = next['newSum']!;
    }
  };

  const { causal } = rule.mask;
  const shift = keys - queries;
  await take(0, causal ? shift : keys);
  const read = await runtime.graph(`performer-read|${causal}`, g => buildRead(g, causal));
  for (let from = 0; from < queries; from += CHUNK) {
    await checkpoint(context.signal);
    const to = Math.min(queries, from + CHUNK);
    const here: Record<string, Tensor> = causal
      ? { k: k(from + shift, to + shift), v: v(from + shift, to + shift), max }
      : {};
    const results = await read.run({ ...shared, x: q(from, to), state, sum, ...here });
    output.set(floats(results['output']!), from * valueDim);
    if (causal) await take(from + shift, to + shift);
  }
}

/** w.x and |x|^2/2 of the rescaled vectors. */
function projected(g: GraphBuilder, x: Value, w: Value, root: Value): { dots: Value; half: Value } {
  const scaled = g.op('Mul', [x, root]);
  const squares = g.op('ReduceSum', [g.op('Mul', [scaled, scaled]), g.int([-1])], { keepdims: 1 });
  return {
    dots: g.op('Gemm', [scaled, w], { transB: 1 }),
    half: g.op('Mul', [squares, g.float(0.5)]),
  };
}

function feature(g: GraphBuilder, dots: Value, half: Value, max: Value, ratio: Value): Value {
  const exponent = g.op('Sub', [g.op('Sub', [dots, half]), max]);
  return g.op('Mul', [g.op('Add', [g.op('Exp', [exponent]), g.float(FEATURE_EPSILON)]), ratio]);
}

function projectionInputs(g: GraphBuilder): { w: Value; root: Value } {
  return { w: g.input('w', 'float32', ['m', 'd']), root: g.input('root', 'float32', [1]) };
}

function buildMax(g: GraphBuilder): void {
  const { w, root } = projectionInputs(g);
  const { dots } = projected(g, g.input('x', 'float32', ['n', 'd']), w, root);
  g.output('max', g.op('ReduceMax', [dots, g.int([0, 1])], { keepdims: 0 }));
}

function keyFeatures(g: GraphBuilder, name: string, w: Value, root: Value, ratio: Value): Value {
  const { dots, half } = projected(g, g.input(name, 'float32', ['b', 'd']), w, root);
  return feature(g, dots, half, g.input('max', 'float32', [1]), ratio);
}

function buildAbsorb(g: GraphBuilder): void {
  const { w, root } = projectionInputs(g);
  const phi = keyFeatures(g, 'x', w, root, g.input('ratio', 'float32', [1]));
  const transposed = g.op('Transpose', [phi], { perm: [1, 0] });
  const state = g.input('state', 'float32', ['m', 'e']);
  const sum = g.input('sum', 'float32', ['m', 1]);
  const values = g.input('v', 'float32', ['b', 'e']);
  g.output('newState', g.op('Add', [state, g.op('MatMul', [transposed, values])]));
  const total = g.op('ReduceSum', [transposed, g.int([1])], { keepdims: 1 });
  g.output('newSum', g.op('Add', [sum, total]));
}

function buildRead(g: GraphBuilder, causal: boolean): void {
  const { w, root } = projectionInputs(g);
  const ratio = g.input('ratio', 'float32', [1]);
  const { dots, half } = projected(g, g.input('x', 'float32', ['a', 'd']), w, root);
  const phi = feature(g, dots, half, g.op('ReduceMax', [dots, g.int([1])], { keepdims: 1 }), ratio);
  const state = g.input('state', 'float32', ['m', 'e']);
  const sum = g.input('sum', 'float32', ['m', 1]);
  let above = g.op('MatMul', [phi, state]);
  let below = g.op('MatMul', [phi, causal ? g.op('Add', [sum, g.float(SUM_EPSILON)]) : sum]);
  if (causal) {
    const keys = keyFeatures(g, 'k', w, root, ratio);
    const map = g.op('Gemm', [phi, keys], { transB: 1 });
    const seen = g.op('Trilu', [map], { upper: 0 });
    above = g.op('Add', [above, g.op('MatMul', [seen, g.input('v', 'float32', ['b', 'e'])])]);
    below = g.op('Add', [below, g.op('ReduceSum', [seen, g.int([1])], { keepdims: 1 })]);
  }
  g.output('output', g.op('Div', [above, below]));
}

/** exp(w.x - |x|^2/2 - max) + epsilon of one vector, without the common factor; max = null: its own largest. */
function featuresOf(
  x: Float32Array,
  at: number,
  root: number,
  { data, dims }: Projection,
): { dots: Float64Array; half: number } {
  const [features, dim] = dims as [number, number];
  const dots = new Float64Array(features);
  let squares = 0;
  for (let c = 0; c < dim; c++) squares += (x[at + c]! * root) ** 2;
  for (let r = 0; r < features; r++) {
    for (let c = 0; c < dim; c++) dots[r]! += data[r * dim + c]! * x[at + c]! * root;
  }
  return { dots, half: squares / 2 };
}

/** [keys, features] */
function featuresOfKeys(input: CoreInput, head: number, projection: Projection): Float64Array {
  const { keys, dim, k, rule } = input;
  const features = projection.dims[0]!;
  const root = Math.sqrt(rule.scale[head]!);
  const rows = new Float64Array(keys * features);
  const halves = new Float64Array(keys);
  let top = -Infinity;
  for (let j = 0; j < keys; j++) {
    const { dots, half } = featuresOf(k, (kvHead(input, head) * keys + j) * dim, root, projection);
    rows.set(dots, j * features);
    halves[j] = half;
    for (const dot of dots) top = Math.max(top, dot);
  }
  return rows.map((dot, t) => Math.exp(dot - halves[Math.floor(t / features)]! - top) + FEATURE_EPSILON);
}

function impliedRow(
  input: CoreInput,
  head: number,
  query: number,
  projection: Projection,
  keyRows: Float64Array,
): SparseRow {
  const { queries, dim, q, rule } = input;
  const features = projection.dims[0]!;
  const root = Math.sqrt(rule.scale[head]!);
  const { dots, half } = featuresOf(q, (head * queries + query) * dim, root, projection);
  let top = -Infinity;
  for (const dot of dots) top = Math.max(top, dot);
  const phi = dots.map(dot => Math.exp(dot - half - top) + FEATURE_EPSILON);
  const { from, to } = visibleKeys(input, query);
  const weights = new Float64Array(to - from);
  let total = 0;
  for (let j = from; j < to; j++) {
    for (let r = 0; r < features; r++) weights[j - from]! += phi[r]! * keyRows[j * features + r]!;
    total += weights[j - from]!;
  }
  // The engine's features carry a factor 1/sqrt(features) each; the epsilon of the sum is added to key features.
  if (rule.mask.causal) total += phi.reduce((sum, x) => sum + x, 0) * SUM_EPSILON * Math.sqrt(features);
  return {
    keys: Int32Array.from(weights, (_, t) => from + t),
    weights: weights.map(weight => weight / total),
  };
}
