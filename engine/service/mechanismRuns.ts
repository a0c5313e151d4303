import { choiceKey, type Analysis } from './analysis';
import { addCore, type LocalRun } from './densePass';
import { findMechanism, looksAhead } from '../attention/registry';
import { summarizeComparison } from '../measure/comparison';
import { effectOf, OUTPUT_NOTE } from './changedRun';
import type { HeadComparison, MechanismChoice, MechanismResult } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { mean } from '../statistics';

/** Turns the comparisons gathered in the dense pass into a result and files it in the analysis. */
export function fileLocalResult(analysis: Analysis, run: LocalRun): MechanismResult {
  const result = localResult(run);
  analysis.results.set(choiceKey(run.choice), result);
  return result;
}

export function localResult(run: LocalRun): MechanismResult {
  const ahead = looksAhead(findMechanism(run.choice.name));
  return {
    ...summarizeComparison(run.heads),
    name: run.choice.name,
    params: run.choice.params,
    ...(run.settled && { settled: run.settled }),
    scope: 'local',
    deltaLoss: null,
    deltaOutput: null,
    milliseconds: run.milliseconds,
    heads: run.heads,
    notes: [...(ahead === null ? [] : [ahead]), ...reconstructionNote(run.heads)],
  };
}

function reconstructionNote(heads: readonly HeadComparison[]): string[] {
  const errors = heads.flatMap(({ reconstruction }) => reconstruction ?? []);
  if (errors.length === 0) return [];
  return [
    `Attention over the compressed memory differs from attention over its tokens by ${(100 * mean(errors)).toFixed(0)} % (mean over heads).`,
  ];
}

/** Compares one more mechanism with the dense heads of a finished analysis. */
export async function runLocally(
  analysis: Analysis,
  choice: MechanismChoice,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<MechanismResult> {
  return fileLocalResult(analysis, await compareLocally(analysis, choice, signal, onProgress));
}

/** The same, left to the caller to keep. */
export async function compareLocally(
  analysis: Analysis,
  choice: MechanismChoice,
  signal: AbortSignal,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<LocalRun> {
  const run: LocalRun = { choice, heads: [], milliseconds: 0, refused: null };
  for (const { result, lse } of analysis.cores) {
    await checkpoint(signal);
    onProgress(result.info.core / analysis.cores.length);
    const { input, output } = await analysis.tensors(result.info.core);
    const began = performance.now();
    const attended = await analysis.attendLocally(choice, result.info.core, signal);
    run.milliseconds += performance.now() - began;
    addCore(run, result.info, input, { output, lse }, attended);
  }
  return run;
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
  const choice: MechanismChoice = { name: local.name, params: local.params };
  const began = performance.now();
  const output = await analysis.run(
    async (info, input) => {
      await checkpoint(signal);
      const attended = await analysis.attend(choice, info.core, input, signal);
      return attended.output;
    },
    { signal, onSegment: onProgress },
  );
  const effect = await effectOf(analysis, output, signal);
  const { delta, perToken } = effect;
  const result: MechanismResult = {
    ...local,
    scope: 'propagated',
    ...(effect.measure === 'loss'
      ? { deltaLoss: perToken.length > 0 ? delta : null, deltaLossPerToken: perToken }
      : { deltaOutput: delta, deltaOutputPerToken: perToken }),
    milliseconds: performance.now() - began,
    notes: [...local.notes, ...(effect.measure === 'loss' ? [] : [OUTPUT_NOTE])],
  };
  analysis.results.set(choiceKey(choice), result);
  return result;
}
