import { densePairs, kvHead, type CoreInput } from '../core';
import { visiblePairs } from '../cost';
import { gaussianBasis, ridgeFit, type Basis } from '../maths/gaussianBasis';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { numbers, sumType } from '../kernels/precision';
import { checkpoint } from '../../runtime/cancellation';
import { asFloats, float32 } from '../../runtime/tensor';

/** Queries at once. */
const ROWS = 1024;

/**
 * The infinity-former's continuous attention: keys and values become functions of the position in 0..1, a ridge fit in
 * Gaussian bumps; a query attends with one Gaussian density. Without trained parameters its mean and variance are
 * those of the softmax over the bumps. One bump of attention: heads with several peaks are not served.
 */
export const continuous: Mechanism = {
  info: {
    name: 'continuous',
    title: 'Continuous (∞-former)',
    label: '∞',
    hue: '#ff9da7',
    pale: true,
    summary: 'The text becomes a smooth function, and every token attends to it with one bell curve.',
    paper: 'Martins et al., ∞-former: Infinite Memory Transformer, 2022, section 3',
    parameters: [
      {
        name: 'basis',
        type: 'integer',
        default: 64,
        minimum: 2,
        maximum: 512,
        description: 'Bumps: half of them of width 0.01, half of width 0.05 (an even number).',
      },
      {
        name: 'ridge',
        type: 'number',
        default: 1,
        minimum: 1e-6,
        description: 'Penalty of the fit; more is smoother.',
      },
    ],
    view: 'map',
    causalSelection: false,
    approximate: true,
  },

  about: {
    what: 'The text becomes a smooth function of the position; every token attends to it with one bell curve.',
    rule: 'ridge fit in Gaussian bumps; O = Σ E[ψ_j] v_j under N(μ, σ²)',
    exact:
      'The fit and the expectation are exact (over all of the line, as in the authors’ code). Their trained maps to μ and σ are missing: both are those of the softmax over the bumps. Not causal.',
    cost: 'N · basis, and one fit.',
    when: 'Heads with one broad peak. Several peaks become one wide one, as in the picture.',
  },

  examples: [{ basis: 16 }, { basis: 8 }],
  whole: () => [],

  refuses(input, params) {
    if (numberOf(params, 'basis') % 2 !== 0) return 'The basis must have an even number of bumps.';
    return input.rule.mask.causal
      ? 'Continuous attention is fitted to the whole text and cannot be causal.'
      : refusesRule('Continuous attention', input);
  },

  /** The ridge fit of keys and values to the bumps, then each query against the bumps. */
  cost(tokens, params, { dim, valueDim, causal }) {
    const bumps = numberOf(params, 'basis');
    const width = dim + valueDim;
    const fit = 2 * bumps * bumps * tokens + (2 / 3) * bumps ** 3 + 2 * tokens * bumps * width;
    return {
      pairs: Math.min(visiblePairs(tokens, causal), tokens * bumps),
      count: 'exact',
      flops: fit + 2 * tokens * bumps * width,
      bytes: 4 * bumps * (2 * tokens + width),
    };
  },

  async attend(input, params, context) {
    const { heads, queries, keys, valueDim, kvHeads } = input;
    const basis = gaussianBasis(numberOf(params, 'basis'));
    const fit = ridgeFit(basis, keys, numberOf(params, 'ridge'));
    const coefficients: Coefficients[] = [];
    for (let kv = 0; kv < kvHeads; kv++) {
      await checkpoint(context.signal);
      coefficients.push({
        k: fit.coefficients(input.k.subarray(kv * keys * input.dim), input.dim),
        v: fit.coefficients(input.v.subarray(kv * keys * valueDim), valueDim),
      });
    }
    const output = new Float32Array(heads * queries * valueDim);
    const mu = new Float32Array(heads * queries);
    const sigma = new Float32Array(heads * queries);
    for (let head = 0; head < heads; head++) {
      for (let from = 0; from < queries; from += ROWS) {
        const to = Math.min(queries, from + ROWS);
        const part = await attendBlock(
          input,
          head,
          from,
          to,
          basis,
          coefficients[kvHead(input, head)]!,
          context,
        );
        output.set(part.output, (head * queries + from) * valueDim);
        mu.set(part.mu, head * queries + from);
        sigma.set(part.sigma, head * queries + from);
      }
    }
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(Math.min(densePairs(input), queries * basis.centre.length)),
      row: (head, query) => {
        const { centre, width } = basis;
        const density = densityParameters(input, head, query, basis, coefficients[kvHead(input, head)]!.k);
        const reads = Float64Array.from(centre, (c, j) =>
          normal(density.mu, c, density.variance + width[j]! ** 2),
        );
        return { keys: Int32Array.from({ length: keys }, (_, j) => j), weights: fit.weights(reads) };
      },
      extra: { mu: float32(mu, [heads, queries]), sigma: float32(sigma, [heads, queries]) },
    };
  },
};

/** Keys and values as functions: [bumps, dim] and [bumps, valueDim]. */
interface Coefficients {
  k: Float64Array;
  v: Float64Array;
}

function normal(x: number, mean: number, variance: number): number {
  return Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
}

/** Expectation of every bump under each query's density, N(mu; mu_j, variance + sigma_j^2), times the values' bumps. */
async function attendBlock(
  input: CoreInput,
  head: number,
  from: number,
  to: number,
  { centre, width }: Basis,
  fitted: Coefficients,
  context: AttendContext,
): Promise<{ output: Float32Array; mu: Float32Array; sigma: Float32Array }> {
  await checkpoint(context.signal);
  const { dim, valueDim, queries, q, rule } = input;
  const bumps = centre.length;
  const type = sumType(context);
  const session = await context.runtime.graph(`continuous|${type}`, g => {
    const constant = (value: number) => g.constant(numbers(type, Float64Array.of(value), []));
    const scaled = g.op('Mul', [g.input('q', type, ['a', 'd']), g.input('scale', type, [1])]);
    const scores = g.op('Gemm', [scaled, g.input('k', type, ['n', 'd'])], { transB: 1 });
    const p = g.op('Softmax', [scores], { axis: -1 });
    const centres = g.input('centre', type, [1, 'n']);
    const squares = g.input('squares', type, [1, 'n']);
    const sum = (x: typeof p) => g.op('ReduceSum', [x, g.int([1])], { keepdims: 1 });
    const mu = sum(g.op('Mul', [p, centres]));
    const away = g.op('Sub', [centres, mu]);
    const away2 = g.op('Mul', [away, away]);
    // Mean of the bumps' own variances plus the variance of their centres; as a difference it would lose its digits.
    const variance = sum(g.op('Mul', [p, g.op('Add', [away2, squares])]));
    const total = g.op('Add', [variance, squares]);
    const exponent = g.op('Mul', [g.op('Div', [away2, total]), constant(-0.5)]);
    const root = g.op('Sqrt', [g.op('Mul', [total, constant(2 * Math.PI)])]);
    const reads = g.op('Div', [g.op('Exp', [exponent]), root]);
    g.output('output', g.op('MatMul', [reads, g.input('v', type, ['n', 'e'])]), type);
    g.output('mu', mu, type);
    g.output('sigma', g.op('Sqrt', [variance]), type);
  });
  const at = head * queries;
  const results = await session.run({
    q: numbers(type, q.subarray((at + from) * dim, (at + to) * dim), [to - from, dim]),
    k: numbers(type, fitted.k, [bumps, dim]),
    v: numbers(type, fitted.v, [bumps, valueDim]),
    scale: numbers(type, rule.scale.subarray(head, head + 1), [1]),
    centre: numbers(type, centre, [1, bumps]),
    squares: numbers(
      type,
      width.map(w => w * w),
      [1, bumps],
    ),
  });
  return {
    output: asFloats(results['output']!)!,
    mu: asFloats(results['mu']!)!,
    sigma: asFloats(results['sigma']!)!,
  };
}

function densityParameters(
  { dim, queries, q, rule }: CoreInput,
  head: number,
  query: number,
  { centre, width }: Basis,
  k: Float64Array,
): { mu: number; variance: number } {
  const scores = Float64Array.from(centre, (_, j) => {
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += q[(head * queries + query) * dim + c]! * k[j * dim + c]!;
    return dot * rule.scale[head]!;
  });
  const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const e = scores.map(s => Math.exp(s - top));
  const sum = e.reduce((a, b) => a + b, 0);
  const mu = e.reduce((total, x, j) => total + (x / sum) * centre[j]!, 0);
  const variance = e.reduce((t, x, j) => t + (x / sum) * ((centre[j]! - mu) ** 2 + width[j]! ** 2), 0);
  return { mu, variance };
}
