import { densePairs, type CoreInput } from '../attention/core';
import type { Attended } from '../attention/mechanism';
import type { CoreInfo, HeadComparison, MechanismResult } from '../../shared/protocol/engine';
import { distribution } from './quantiles';

/**
 * Dense heads against the same heads under a mechanism, same Q, K, V (local).
 * `dense`: output [heads, queries, valueDim] and log-sum-exp [heads, queries] of the dense core.
 */
export function compareCore(
  info: CoreInfo,
  input: CoreInput,
  dense: { output: Float32Array; lse: Float32Array },
  attended: Attended,
): HeadComparison[] {
  const { heads, queries, valueDim } = input;
  const all = densePairs(input);
  const span = perHead(attended, 'span', heads);
  const reconstruction = perHead(attended, 'attention_reconstruction', heads);
  return Array.from({ length: heads }, (_, head) => {
    const rows = <T>(values: { subarray(from: number, to: number): T }, width: number): T =>
      values.subarray(head * queries * width, (head + 1) * queries * width);
    const lse = lseOfKept(input, attended);
    const kept = lse && recallOf(rows(lse, 1), rows(dense.lse, 1));
    return {
      core: info.core,
      head,
      recall: kept ? kept.mean : null,
      recallP5: kept ? kept.p5 : null,
      outputError: relativeError(rows(attended.output, valueDim), rows(dense.output, valueDim)),
      pairs: attended.pairs[head]!,
      densePairs: all,
      uncovered: kept ? kept.uncovered : 0,
      ...(span ? { span: span[head]! } : {}),
      ...(reconstruction ? { reconstruction: reconstruction[head]! } : {}),
    };
  });
}

/**
 * The log-sum-exps that tell, less those of the dense run, what is kept of its mass; null where none do. A native map is no softmax
 * of the scores that a mechanism in its place goes by.
 */
export const lseOfKept = ({ native }: Pick<CoreInput, 'native'>, { lse }: Pick<Attended, 'lse'>) =>
  native ? null : lse;

/** A tensor of one number for each head, or null. */
function perHead({ extra }: Attended, name: string, heads: number): Float32Array | null {
  const tensor = extra[name];
  return tensor?.type === 'float32' && tensor.data.length === heads ? tensor.data : null;
}

/** All heads together: mean recall and output error over heads, sparsity over all pairs. */
export function summarizeComparison(
  heads: readonly HeadComparison[],
): Pick<MechanismResult, 'recall' | 'sparsity' | 'outputError' | 'pairs' | 'densePairs'> {
  const sum = (value: (head: HeadComparison) => number) =>
    heads.reduce((total, head) => total + value(head), 0);
  const pairs = sum(head => head.pairs);
  const dense = sum(head => head.densePairs);
  const recalls = heads.flatMap(head => (head.recall === null ? [] : [head.recall]));
  return {
    recall: recalls.length === 0 ? null : recalls.reduce((a, b) => a + b, 0) / recalls.length,
    sparsity: dense === 0 ? 0 : 1 - pairs / dense,
    outputError: heads.length === 0 ? 0 : sum(head => head.outputError) / heads.length,
    pairs,
    densePairs: dense,
  };
}

/** Mass kept by each query = exp(lse - dense lse); queries that see nothing in the dense core are left out. */
function recallOf(
  lse: Float32Array,
  denseLse: Float32Array,
): { mean: number; p5: number; uncovered: number } {
  const kept = new Float32Array(lse.length).fill(-1);
  let uncovered = 0;
  for (let i = 0; i < lse.length; i++) {
    if (denseLse[i] === -Infinity) continue;
    if (lse[i] === -Infinity) uncovered++;
    kept[i] = Math.min(1, Math.exp(lse[i]! - denseLse[i]!));
  }
  const { mean, quantiles } = distribution(kept);
  return { mean, p5: quantiles.p5, uncovered };
}

/** Frobenius norm of the difference, relative to that of the dense output. */
function relativeError(found: Float32Array, dense: Float32Array): number {
  let difference = 0;
  let norm = 0;
  for (let t = 0; t < dense.length; t++) {
    difference += (found[t]! - dense[t]!) ** 2;
    norm += dense[t]! ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}
