import type { CoreInput } from '../core';
import type { Basis } from '../maths/gaussianBasis';
import type { AttendContext } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import { asFloats } from '../../runtime/tensor';
import { numbers, sumType } from './precision';
import { scoresWith, softmax } from './rows';
import type { Coefficients } from './continuousMemory';

/**
 * A query's one Gaussian density over the position: mean and variance are those of the softmax over the bumps (the untrained
 * branch of the infinity-former's code), and what it reads is the expectation of every bump under it.
 */

/** How much of every bump a query reads: its expectation under the query's density, [bumps]. */
export function readsOf(
  input: CoreInput,
  head: number,
  query: number,
  basis: Basis,
  k: Float64Array,
): Float64Array {
  const { mu, variance } = densityParameters(input, head, query, basis, k);
  return Float64Array.from(basis.centre, (c, j) => normal(mu, c, variance + basis.width[j]! ** 2));
}

/** Density of a normal distribution. */
function normal(x: number, mean: number, variance: number): number {
  return Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
}

/** Expectation of every bump under each query's density, N(mu; mu_j, variance + sigma_j^2), times the values' bumps. */
export async function attendBlock(
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
  const p = softmax(scoresWith(q, (head * queries + query) * dim, k, dim, rule.scale[head]!));
  const mu = p.reduce((total, x, j) => total + x * centre[j]!, 0);
  const variance = p.reduce((t, x, j) => t + x * ((centre[j]! - mu) ** 2 + width[j]! ** 2), 0);
  return { mu, variance };
}
