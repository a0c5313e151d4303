import { plainPercent } from '../../shared/numbers';
import { type Analysis, type CoreTensors } from './analysis';
import { addCore, type LocalRun } from './densePass';
import { choiceNote } from '../attention/registry';
import { summarizeComparison } from '../measure/comparison';
import { totalSpending } from '../measure/spending';
import { effectOf, OUTPUT_NOTE } from './changedRun';
import type { HeadComparison, Setting, MechanismResult, Note } from '../../shared/protocol/engine';
import type { ModelOutput } from '../model/cut/cutModel';
import { checkpoint } from '../runtime/cancellation';
import { mean } from '../statistics';

/** Turns the comparisons gathered in the dense pass into a result and files it in the analysis. */
export function fileLocalResult(analysis: Analysis, run: LocalRun): MechanismResult {
  const result = localResult(run);
  analysis.results.set(run.choice.key, result);
  return result;
}

export function localResult(run: LocalRun): MechanismResult {
  const choice = choiceNote(run.choice);
  return {
    ...summarizeComparison(run.heads),
    ...(run.spending && { spending: totalSpending(run.heads.map(head => head.spending!)) }),
    setting: run.choice,
    settled: run.settled ?? {},
    scope: 'local',
    deltaLoss: null,
    deltaOutput: null,
    milliseconds: run.milliseconds,
    heads: run.heads,
    notes: [...(choice === null ? [] : [choice]), ...reconstructionNote(run.heads)],
  };
}

function reconstructionNote(heads: readonly HeadComparison[]): Note[] {
  const errors = heads.flatMap(({ reconstruction }) => reconstruction ?? []);
  if (errors.length === 0) return [];
  return [
    {
      kind: 'reconstruction',
      text: `Attention over the compressed memory differs from attention over its tokens by ${plainPercent(mean(errors))} (mean over heads).`,
    },
  ];
}

/** Compares one more mechanism with the dense heads of a finished analysis. */
export async function runLocally(
  analysis: Analysis,
  choice: Setting,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<MechanismResult> {
  const run = startRun(choice);
  const visit = (core: number, tensors: CoreTensors) => {
    onProgress(core / analysis.cores.length);
    return compareCoreLocally(analysis, run, core, tensors, signal);
  };
  await analysis.visitAlone([...analysis.cores.keys()], visit, signal);
  return fileLocalResult(analysis, run);
}

export function startRun(choice: Setting, spending = false): LocalRun {
  return { choice, heads: [], milliseconds: 0, refused: null, ...(spending && { spending }) };
}

/** Adds to the run what the mechanism does in one core. */
export async function compareCoreLocally(
  analysis: Analysis,
  run: LocalRun,
  core: number,
  { input, output }: CoreTensors,
  signal: AbortSignal,
): Promise<void> {
  const { result, lse, prefixes } = analysis.core(core);
  const began = performance.now();
  const attended = await analysis.attendLocally(run.choice, core, input, signal);
  run.milliseconds += performance.now() - began;
  addCore(run, result.info, input, { output, lse }, attended, prefixes);
}

/**
 * Runs the same text on with the mechanism in every core. Recall, sparsity and output error stay those of the local
 * comparison (same Q, K, V as the dense model); the loss change is that of the model that runs on with it.
 */
export async function propagate(
  analysis: Analysis,
  local: MechanismResult,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<MechanismResult> {
  const choice = local.setting;
  const began = performance.now();
  const output = await runWith(analysis, choice, signal, onProgress);
  const effect = await effectOf(analysis, output, signal);
  const { delta, perToken } = effect;
  const result: MechanismResult = {
    ...local,
    scope: 'propagated',
    ...(effect.measure === 'loss'
      ? { deltaLoss: perToken.length > 0 ? delta : null, deltaLossPerToken: perToken }
      : {
          deltaOutput: delta,
          deltaOutputPerToken: perToken,
          ...(effect.embedding && { embedding: effect.embedding }),
        }),
    milliseconds: performance.now() - began,
    notes: [
      ...local.notes,
      ...(effect.measure === 'loss' ? [] : [{ kind: 'output' as const, text: OUTPUT_NOTE }]),
    ],
  };
  analysis.results.set(choice.key, result);
  return result;
}

/** The predictions of the model with the mechanism in every core. */
export function runWith(
  analysis: Analysis,
  choice: Setting,
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<ModelOutput> {
  return analysis.predict(
    async (info, input) => {
      await checkpoint(signal);
      const attended = await analysis.attend(choice, info.core, input, signal);
      return attended.output;
    },
    { signal, onSegment: onProgress },
  );
}
