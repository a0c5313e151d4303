import { coreFlops } from './workload';
import { Analysis, bytesOf, OWN_PREDICTIONS, type AnalysedCore } from './analysis';
import { outlineOf, type CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { refuseInput, refuseNotFinite } from './finite';
import type { Attended } from '../attention/mechanism';
import { findMechanism } from '../attention/registry';
import { compareCore } from '../measure/comparison';
import { RefusedError } from '../errors';
import { tokenLoss } from '../measure/loss';
import type { PerQuery } from '../measure/perQuery';
import { spendingOf } from '../measure/spending';
import { profileCore } from '../measure/profile';
import type { Attend, ModelOutput } from '../model/cut/cutModel';
import { tokenMarks } from '../model/tokens/text';
import {
  sidesOf,
  type CoreInfo,
  type CoreResult,
  type HeadComparison,
  type Setting,
  type MechanismParams,
} from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { growthOf } from '../../shared/softSpan';
import { settledParams } from '../attention/parameters';
import { say } from '../../shared/sentences';

export interface DensePassOptions {
  signal: AbortSignal;
  /** Mechanisms to compare locally while Q, K, V of each core are at hand. */
  mechanisms: Setting[];
  /** Bytes that Q, K, V and outputs may take after the pass. */
  retainBytes: number;
  onProgress(fraction: number, message: string): void;
  onCore(result: CoreResult): void;
  /** For callers that need the raw tensors of each core (`--tensors --weights`). */
  onTensors?(info: CoreInfo, input: CoreInput, lse: Float32Array): Promise<void>;
  onOutput?(output: ModelOutput): Promise<void>;
  /** For callers that need every query by itself (profiles of a corpus). */
  onQueries?(info: CoreInfo, input: CoreInput, queries: PerQuery): Promise<void>;
}

export interface LocalRun {
  choice: Setting;
  heads: HeadComparison[];
  milliseconds: number;
  settled?: MechanismParams;
  /** Why this mechanism cannot run on this model, or null. */
  refused: string | null;
  /** Also what each head spends in every unit. */
  spending?: true;
}

/**
 * Runs the text through the model with dense cores, folding every measure on the way and comparing the wished-for
 * mechanisms core by core. Fills `analysis.cores` and `analysis.loss`.
 */
export async function densePass(analysis: Analysis, options: DensePassOptions): Promise<LocalRun[]> {
  const { signal } = options;
  const { model } = analysis;
  const longest = Math.max(analysis.tokens.ids.length, analysis.written.ids.length);
  const marks = { text: tokenMarks(analysis.tokens), target: tokenMarks(analysis.written) };
  const runs: LocalRun[] = options.mechanisms.map(choice => ({
    choice,
    heads: [],
    milliseconds: 0,
    refused: null,
  }));
  const work = model.info.cores.map(info => coreFlops(info, longest));
  const total = work.reduce((sum, flops) => sum + flops, 0);
  let done = 0;
  let retained = 0;
  const began = performance.now();

  const output = await analysis.run(
    async (info, input) => {
      await checkpoint(signal);
      refuseInput(input);
      options.onProgress(done / total, say('layerHeads', info.layer, info.heads));
      const profile = await profileCore(
        input,
        info,
        marks[sidesOf(info.kind).keys],
        analysis.context(signal),
        options.onQueries !== undefined,
      );
      const result: CoreResult = { info, heads: profile.heads };
      const tensors = { input, output: profile.output };
      const bytes = bytesOf(tensors);
      const keep = retained + bytes <= options.retainBytes;
      if (keep) retained += bytes;
      const core: AnalysedCore = {
        result,
        lse: profile.lse,
        entropy: profile.entropy,
        byDistance: profile.byDistance,
        prefixes: profile.prefixes,
        outline: outlineOf(input),
        tensors: keep ? tensors : null,
      };
      analysis.cores[info.core] = core;
      options.onCore(result);
      await options.onTensors?.(info, input, profile.lse);
      if (profile.queries) await options.onQueries?.(info, input, profile.queries);
      for (const run of runs) await compareLocally(analysis, run, info, input, profile, signal);
      done += work[info.core]!;
      return profile.output;
    },
    {
      signal,
      onHidden: ({ at, data, rows, width }) => at === 'output' && refuseNotFinite(data, rows, width),
    },
  );
  await options.onOutput?.(output);
  options.onProgress(1, say('lossOfTokens'));
  await readLoss(analysis, output, (_, input) => denseOutput(input, analysis.context(signal)), signal);
  analysis.denseSeconds = (performance.now() - began) / 1000;
  return runs;
}

/** Fills `analysis.loss`; where the model predicts nothing its output is kept. `output`: of the text as it is. */
export async function readLoss(
  analysis: Analysis,
  output: ModelOutput,
  attend: Attend,
  signal: AbortSignal,
): Promise<void> {
  if (typeof analysis.predicts === 'object') {
    analysis.output = output;
    return;
  }
  const predicted = analysis.predicts === 'next' ? output : await analysis.predict(attend, { signal });
  analysis.keepShared(OWN_PREDICTIONS, predicted);
  analysis.loss = await tokenLoss(predicted, analysis.written.ids, analysis.context(signal));
  refuseNotFinite(analysis.loss, analysis.loss.length, 1);
}

async function compareLocally(
  analysis: Analysis,
  run: LocalRun,
  info: CoreInfo,
  input: CoreInput,
  dense: { output: Float32Array; lse: Float32Array } & Pick<AnalysedCore, 'prefixes'>,
  signal: AbortSignal,
): Promise<void> {
  await checkpoint(signal);
  if (run.refused !== null) return;
  const began = performance.now();
  try {
    const attended = await analysis.attend(run.choice, info.core, input, signal);
    run.milliseconds += performance.now() - began;
    addCore(run, info, input, dense, attended, dense.prefixes);
  } catch (error) {
    // The dense heads and the other mechanisms go on.
    if (!(error instanceof RefusedError)) throw error;
    run.refused = error.message;
  }
}

/** Compares the heads of one core; what parameters came to is told of the first. */
export function addCore(
  run: LocalRun,
  info: CoreInfo,
  input: CoreInput,
  dense: { output: Float32Array; lse: Float32Array },
  attended: Attended,
  prefixes?: AnalysedCore['prefixes'],
): void {
  const { name, params } = run.choice;
  const mechanism = findMechanism(name);
  const wish = mechanism.spans?.wish(params);
  const grown = (comparison: HeadComparison) => {
    if (!wish || 'span' in wish || comparison.span === undefined || comparison.recall === null) return {};
    const { span, recall: kept, head } = comparison;
    const { queries, keys } = input;
    const core = { queries, keys, mask: input.rule.mask, prefixes };
    return growthOf(core, head, { span, ramp: wish.ramp, kept });
  };
  const heads = compareCore(info, input, dense, attended);
  const spending = run.spending && spendingOf(run.choice, input, attended);
  run.heads.push(
    ...heads.map((head, at) => ({
      ...head,
      ...grown(head),
      ...(spending && { spending: spending[at]! }),
    })),
  );
  run.settled ??= settledParams(mechanism, input, params);
}
