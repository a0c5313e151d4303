/** How much each head adds to its layer: what its errors are weighed with until it is measured what the model makes of them. */
import type { CoreTensors } from './analysis';
import type { HeadComparison } from '../../shared/protocol/engine';
import { mean } from '../statistics';

/** Squared norm of one head's dense output, over all texts. */
export function squaredNorm(head: number, tensors: readonly CoreTensors[]): number {
  let norm = 0;
  for (const { input, output } of tensors) {
    const size = input.queries * input.valueDim;
    for (const value of output.subarray(head * size, (head + 1) * size)) norm += value * value;
  }
  return norm;
}

/**
 * Squared norm of each head's output as a multiple of the mean of its core's heads: the same relative error of a head that
 * says little changes little. `norms`: of the heads of one core.
 */
export function contributionsOf(norms: readonly number[]): number[] {
  const middle = mean(norms);
  return norms.map(norm => (middle > 0 ? norm / middle : 1));
}

/** Mean squared error of some heads, each weighed by what it contributes. */
export function weighedError(
  heads: readonly HeadComparison[],
  contribution: (core: number, head: number) => number,
): number {
  return mean(heads.map(({ core, head, outputError }) => contribution(core, head) * outputError ** 2));
}
