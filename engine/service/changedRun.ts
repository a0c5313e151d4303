import { type Analysis, type CoreTensors } from './analysis';
import { densePairs, type CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { someHeads } from '../attention/kernels/subset';
import { compareCore } from '../measure/comparison';
import { embeddingChange } from '../measure/embedding';
import { spendingOf } from '../measure/spending';
import { tokenLoss } from '../measure/loss';
import { outputChange } from '../measure/outputChange';
import type { Attend, ModelOutput } from '../model/cut/cutModel';
import type {
  AssignResult,
  CoreInfo,
  HeadAssignment,
  HeadComparison,
  RunEffect,
} from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { mean } from '../statistics';
import { denseIsOwn } from '../../shared/native';
import { say } from '../../shared/sentences';

/** What results say whose effect is measured on the output. */
export const OUTPUT_NOTE = say('turnOfOutput');

/** Runs the analysed text on with other cores and measures what changes, in the loss where there is one. */
export async function changedRun(
  analysis: Analysis,
  attend: Attend,
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<RunEffect> {
  return effectOf(analysis, await analysis.predict(attend, { signal, onSegment: onProgress }), signal);
}

/** Dense attention in every core. */
export const attendDense =
  (analysis: Analysis, signal: AbortSignal): Attend =>
  async (_, input) => {
    await checkpoint(signal);
    return denseOutput(input, analysis.context(signal));
  };

/** Dense attention as the analysis ran it, where that is still there. */
export function attendAsKnown(analysis: Analysis, signal: AbortSignal): Attend {
  const dense = attendDense(analysis, signal);
  return async (info, input) => analysis.predictedAtHand(info.core) ?? dense(info, input);
}

/** What a changed output (of `Analysis.predict`) differs by from the dense model's. */
export async function effectOf(
  analysis: Analysis,
  output: ModelOutput,
  signal: AbortSignal,
): Promise<RunEffect> {
  if (analysis.loss)
    return lossEffect(analysis, await tokenLoss(output, analysis.written.ids, analysis.context(signal)));
  const perToken = await outputChange(analysis.output!, output, signal);
  const { pooling } = analysis.model.info;
  const embedding = pooling && (await embeddingChange(analysis.output!, output, pooling, signal));
  return { measure: 'output', delta: mean(perToken), perToken, ...(embedding && { embedding }) };
}

/** The tokens whose loss there is: those that the first rows of the output predict. */
export function predictedIds({ written, loss }: Analysis): Int32Array {
  return written.ids.subarray(1, 1 + loss!.length);
}

/** What the loss of a changed run differs by from the dense model's. */
export function lossEffect(analysis: Analysis, loss: Float32Array): RunEffect {
  const perToken = loss.map((value, t) => value - analysis.loss![t]!);
  return { measure: 'loss', delta: mean(perToken), perToken };
}

/** The mechanisms of one core's heads by their keys; null = as the model has it. */
export type CoreAssignment = (HeadAssignment['choice'] | null)[];

/** One entry per head of every core; a later assignment of the same head replaces the earlier one. */
export function byCore(cores: readonly CoreInfo[], heads: readonly HeadAssignment[]): CoreAssignment[] {
  const result = cores.map(info => new Array<CoreAssignment[number]>(info.heads).fill(null));
  for (const { core, head, choice } of heads) {
    if (!result[core] || !(head in result[core])) continue;
    const own = choice.name === 'dense' && denseIsOwn(cores[core]!);
    result[core][head] = own ? null : choice;
  }
  return result;
}

/** What changes when the model runs on with a mechanism of its own in each head. */
export async function assignedRun(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<RunEffect> {
  const output = await assignedModel(analysis, heads, signal, onProgress);
  return effectOf(analysis, output, signal);
}

/** Fits to the dense text what the heads' mechanisms are fitted to, all in one pass: in the changed run it would be too late. */
export function fitHeads(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
): Promise<void> {
  const open = heads.filter(
    ({ core, head, choice }) => choice.name !== 'dense' && !analysis.isFitted(choice, core, head),
  );
  const visit = async (core: number, { input }: CoreTensors) => {
    for (const one of open) {
      if (one.core === core) await analysis.fitHead(one.choice, core, one.head, input, signal);
    }
  };
  return analysis.visitAlone(coresOf(open), visit, signal);
}

/** The cores of these heads, each once, in order. */
export function coresOf(heads: readonly { core: number }[]): number[] {
  return [...new Set(heads.map(({ core }) => core))].sort((a, b) => a - b);
}

/**
 * The output of the model run on with a mechanism of its own in each head. `onPairs` is told the pairs that the assigned
 * heads of a core spend in this very run.
 */
export async function assignedModel(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
  onPairs?: (pairs: number, densePairs: number) => void,
): Promise<ModelOutput> {
  const assigned = byCore(analysis.model.info.cores, heads);
  await fitHeads(analysis, heads, signal);
  const isChanged = (assignment: CoreAssignment) => assignment.some(choice => choice !== null);
  // Up to the first core with a change all is as in the dense run.
  const first = assigned.findIndex(isChanged);
  return analysis.predict(
    async (info, input) => {
      await checkpoint(signal);
      const isAsDense = analysis.standIn === null && (first < 0 || info.core <= first);
      const known = isAsDense ? analysis.predictedAtHand(info.core) : null;
      return assignedOutput(analysis, info.core, input, assigned[info.core]!, signal, onPairs, known);
    },
    { signal, onSegment: onProgress },
  );
}

/** Output of one core [heads, queries, valueDim] with a mechanism of its own in each head. `known`: its dense output, where it is. */
export async function assignedOutput(
  analysis: Analysis,
  core: number,
  input: CoreInput,
  assigned: CoreAssignment,
  signal: AbortSignal,
  onPairs?: (pairs: number, densePairs: number) => void,
  known: Float32Array | null = null,
): Promise<Float32Array> {
  const output = new Float32Array(input.heads * input.queries * input.valueDim);
  const size = input.queries * input.valueDim;
  const dense = assigned.flatMap((choice, head) => (choice ? [] : [head]));
  if (dense.length === assigned.length) return known ?? denseOutput(input, analysis.context(signal));
  if (known) {
    output.set(known);
  } else if (dense.length > 0) {
    const found = await denseOutput(someHeads(input, dense), analysis.context(signal));
    dense.forEach((head, at) => output.set(found.subarray(at * size, (at + 1) * size), head * size));
  }
  for (const [head, choice] of assigned.entries()) {
    if (!choice) continue;
    const attended = await analysis.attendHead(choice, core, head, input, signal);
    output.set(attended.output, head * size);
    onPairs?.(attended.pairs[0]!, densePairs(input));
  }
  return output;
}

/** Local comparison of one head under a mechanism, given its core's dense tensors. */
export async function compareHead(
  analysis: Analysis,
  { core, head, choice }: HeadAssignment,
  { input, output }: CoreTensors,
  signal: AbortSignal,
  spending = false,
): Promise<HeadComparison> {
  const { result, lse } = analysis.head(core, head);
  const size = input.queries * input.valueDim;
  await analysis.fitHead(choice, core, head, input, signal);
  const attended = await analysis.attendHead(choice, core, head, input, signal);
  const dense = {
    output: output.subarray(head * size, (head + 1) * size),
    lse: lse.subarray(head * input.queries, (head + 1) * input.queries),
  };
  const alone = someHeads(input, [head]);
  const [comparison] = compareCore(result.info, alone, dense, attended);
  const spent = spending && spendingOf(choice, alone, attended, input.kvHeads / input.heads)[0]!;
  return { ...comparison!, head, ...(spent && { spending: spent }) };
}

/** `analysis/assign`: effect of the run, local comparisons of the assigned heads, pairs over the whole model. */
export async function assign(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<AssignResult> {
  const comparisons: HeadComparison[] = [];
  const compare = async (core: number, tensors: CoreTensors) => {
    for (const [at, head] of heads.entries()) {
      if (head.core !== core) continue;
      await checkpoint(signal);
      comparisons[at] = await compareHead(analysis, head, tensors, signal);
    }
  };
  await analysis.visitAlone(coresOf(heads), compare, signal);
  const effect = await assignedRun(analysis, heads, signal, onProgress);
  const dense = allPairs(analysis);
  const saved = comparisons.reduce((sum, { pairs, densePairs: all }) => sum + all - pairs, 0);
  return { effect, heads: comparisons, pairs: dense - saved, densePairs: dense };
}

/** Dense pairs of all heads of the model on this text. */
export function allPairs(analysis: Analysis): number {
  return analysis.cores.reduce((pairs, { outline }) => pairs + outline.heads * densePairs(outline), 0);
}

export function assignmentKey(heads: readonly HeadAssignment[]): string {
  return heads.map(({ core, head, choice }) => `${core}.${head}=${choice.key}`).join('|');
}
