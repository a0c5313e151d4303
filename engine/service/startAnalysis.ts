/** The start of an analysis: text to tokens, one dense pass with all measures, the mechanisms beside it, and the summary. */
import { Analysis } from './analysis';
import { ESTIMATED_FROM, estimateRun, estimateWords, type RunEstimate } from './estimate';
import { densePass } from './densePass';
import { fileLocalResult, propagate } from './mechanismRuns';
import type { LoadedModel } from './modelCache';
import { readAttention, readSetting } from './readSettings';
import { sparseNotes } from './sparseNotes';
import { sparsePass, type SparseAttention } from './sparsePass';
import { provenance, textInput } from './provenance';
import { targetText } from './target';
import { timeLeft } from './timeLeft';
import { workingBytes } from './workload';
import type { CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { findMechanism } from '../attention/registry';
import { refused } from '../errors';
import type { PerQuery } from '../measure/perQuery';
import type { ModelOutput } from '../model/cut/cutModel';
import { checkTokensFit } from '../model/tokens/tokenizer';
import { refuseUnlessFits } from '../runtime/memory';
import type { SharedCache } from '../runtime/sharedCache';
import type {
  AnalysisSummary,
  AnalyzeParams,
  CoreInfo,
  EngineNotifications,
  MechanismResult,
  SparseAnalysis,
  TargetText,
  TextCheck,
  TokenTable,
} from '../../shared/protocol/engine';
import { notVerified } from '../../shared/verified';
import { mean } from '../statistics';
import { SEEDS } from '../../shared/random';
import { distinct } from '../../shared/setting';
import { say } from '../../shared/sentences';

export type Notify = <N extends keyof EngineNotifications>(name: N, params: EngineNotifications[N]) => void;

export type Phase = EngineNotifications['analysis/progress']['phase'];

/** Tells how far a job is; without a message of its own, what it is about is told. */
export type Progress = (fraction: number, message?: string) => void;

export function progressOf(notify: Notify, id: string, phase: Phase, about = ''): Progress {
  const left = timeLeft();
  return (fraction, message = about) => {
    const done = Math.min(1, fraction);
    const secondsLeft = left(done);
    notify('analysis/progress', {
      id,
      phase,
      fraction: done,
      message,
      ...(secondsLeft !== null && { secondsLeft }),
    });
  };
}

/** What only in-process callers (the command line, tests) may ask of an analysis. */
export interface AnalyzeHooks {
  onTensors?(info: CoreInfo, input: CoreInput, lse: Float32Array): Promise<void>;
  onTokens?(tokens: TokenTable): Promise<void>;
  onOutput?(output: ModelOutput): Promise<void>;
  onQueries?(info: CoreInfo, input: CoreInput, queries: PerQuery): Promise<void>;
  /** Of a long text: what the dense pass will take. */
  onEstimate?(estimate: RunEstimate): void;
  /** Do not keep Q, K, V for later requests. */
  forget?: boolean;
}

/** Of the arithmetic of the model on a text, what the comparison with the uncut model may take. */
const CHECK_SHARE = 0.015;

/** Seconds from which on an analysis says all along what it will take. */
const TELL_FROM = 60;

/** Beyond this even linear structures and the interface suffer, whatever the model allows. */
export const MAX_TOKENS = 131_072;

export interface AnalysisStart {
  params: AnalyzeParams;
  hooks: AnalyzeHooks;
  signal: AbortSignal;
  memoryLimitMiB: number;
  /** Bytes that Q, K, V and dense outputs may take after the analysis. */
  retainBytes: number;
  cache: SharedCache<object>;
  notify: Notify;
  load(): Promise<LoadedModel>;
  /** The analysis can be asked from here on, core by core. */
  began(analysis: Analysis): void;
}

/** Tokenizes the text, runs the model, compares the mechanisms and, when asked, runs the text on with each of them. */
export async function runAnalysis(start: AnalysisStart): Promise<AnalysisSummary> {
  const { params, hooks, signal, memoryLimitMiB, notify } = start;
  const { id } = params;
  const progress = (phase: Phase) => progressOf(notify, id, phase);
  const clock = new Clock();
  // A plan that cannot be read is told before a model is loaded.
  const attention = params.attention ? await readAttention(params.attention) : null;
  const loaded = await start.load();
  const { model, tokenizer, runtime } = loaded;
  clock.lap('model');

  const limit = Math.min(params.maxTokens ?? Infinity, model.info.context ?? Infinity, MAX_TOKENS);
  const tokens = await tokenizer.encode(params.text, Number.isFinite(limit) ? limit : null);
  if (tokens.ids.length === 0) throw refused('textNothing');
  checkTokensFit(tokens, model.info.vocabulary);
  const target = await targetText(
    loaded,
    tokens,
    params.text,
    params.target ?? null,
    limit,
    signal,
    progress('tokens'),
  );
  if (target) checkTokensFit(target.tokens, model.info.vocabulary);
  clock.lap('tokens');
  const working = workingBytes(model, tokens.ids.length);
  const what = `An analysis of ${tokens.ids.length} tokens with this model`;
  refuseUnlessFits(working, memoryLimitMiB, what);
  await model.checkRules(tokens.ids, { signal, targetIds: target?.tokens.ids });
  clock.lap('rules');
  const analysis = new Analysis(id, model, runtime, tokens, target, start.cache);
  analysis.mask = tokenizer.mask;
  const given = target?.source === 'given' ? [textInput('target', target.text)] : [];
  analysis.inputs = [textInput('text', params.text), ...given];
  start.began(analysis);
  notify('analysis/began', {
    id,
    model: model.info,
    device: runtime.report,
    tokens,
    target,
  });
  await hooks.onTokens?.(tokens);

  const long = tokens.ids.length >= ESTIMATED_FROM && !params.attention;
  const estimate = long ? await estimateRun(model.info, tokens.ids.length, working, runtime) : null;
  if (estimate) hooks.onEstimate?.(estimate);
  const check = (output: ModelOutput | null) =>
    model.checkText(tokens.ids, output, (_, input) => denseOutput(input, analysis.context(signal)), {
      signal,
      targetIds: target?.tokens.ids,
      share: CHECK_SHARE,
    });
  const ran = attention
    ? await runSparse(analysis, attention, start, clock, check)
    : await runDense(analysis, start, clock, check, estimate);
  const { verified } = ran;
  return {
    id,
    model: model.info,
    device: runtime.report,
    tokens,
    target,
    cores: analysis.cores.map(core => core.result),
    loss:
      analysis.loss && analysis.loss.length > 0
        ? {
            mean: mean(analysis.loss),
            perToken: analysis.loss,
            ...(analysis.predicts === 'masked' && { masked: true as const }),
          }
        : null,
    mechanisms: ran.mechanisms,
    ...(ran.sparse && { sparse: ran.sparse }),
    timings: clock.timings,
    peakRssMiB: process.resourceUsage().maxRSS / 1024,
    verified,
    provenance: provenance(model.info, runtime.report, analysis.inputs),
    notes: [
      ...(verified.holds ? [] : [notVerified(verified)]),
      ...notesOn(
        tokens,
        target,
        typeof params.target === 'string',
        limit,
        model.info.context,
        runtime.report.notes,
      ),
      ...(model.info.verified.assumed === undefined ? [] : [model.info.verified.assumed]),
      ...(typeof analysis.predicts === 'object' ? [analysis.predicts.none] : []),
      ...ran.notes,
    ],
  };
}

/** What ran in the cores, and what came of it. */
interface Ran {
  verified: TextCheck;
  mechanisms: MechanismResult[];
  sparse?: SparseAnalysis;
  notes: string[];
}

type Check = (output: ModelOutput | null) => Promise<TextCheck>;

/** The dense pass, the mechanisms beside it, and the runs with them. */
async function runDense(
  analysis: Analysis,
  start: AnalysisStart,
  clock: Clock,
  check: Check,
  estimate: RunEstimate | null,
): Promise<Ran> {
  const { params, hooks, signal, notify } = start;
  const { id } = params;
  const choices = distinct(params.mechanisms.map(readSetting));
  const share = 1 / (1 + (params.propagate ? choices.length : 0));
  const dense = progressOf(notify, id, 'dense');
  const inAll =
    estimate && estimate.seconds > TELL_FROM ? `; in all ${estimateWords(estimate, 'block search')}` : '';
  let output: ModelOutput | null = null;
  const runs = await densePass(analysis, {
    signal,
    mechanisms: choices,
    retainBytes: start.retainBytes,
    onProgress: (fraction, message) => dense(fraction * share, `${message}${inAll}`),
    onCore: result => notify('analysis/core', { id, result }),
    onTensors: hooks.onTensors,
    onQueries: hooks.onQueries,
    onOutput: async given => {
      output = given;
      await hooks.onOutput?.(given);
    },
  });
  clock.lap('dense');
  const verified = await check(output!);
  clock.lap('check');

  const refused = runs.flatMap(({ choice, refused }) => (refused === null ? [] : [{ choice, refused }]));
  let results = runs.filter(run => run.refused === null).map(run => fileLocalResult(analysis, run));
  for (const run of runs) clock.add(`mechanism ${run.choice.name}`, run.milliseconds);
  if (params.propagate) {
    const report = progressOf(notify, id, 'propagate');
    const propagated = [];
    for (const [m, local] of results.entries()) {
      const title = findMechanism(local.setting.name).info.title;
      const result = await propagate(analysis, local, signal, done =>
        report((1 + m + done) * share, say('runsOnWith', title)),
      );
      clock.lap(`propagate ${local.setting.name}`);
      propagated.push(result);
    }
    results = propagated;
  }
  for (const result of results) notify('analysis/mechanismDone', { id, result });
  const notes = refused.map(({ choice, refused }) =>
    say('leftOut', findMechanism(choice.name).info.title, refused),
  );
  return { verified, mechanisms: results, notes };
}

/** The text with another attention in every core. What proves the model runs dense, on the first tokens alone. */
async function runSparse(
  analysis: Analysis,
  attention: SparseAttention,
  start: AnalysisStart,
  clock: Clock,
  check: Check,
): Promise<Ran> {
  const { params, signal, notify } = start;
  const { id } = params;
  const progress = progressOf(notify, id, 'dense');
  const sparse = await sparsePass(analysis, attention, {
    signal,
    seed: SEEDS.sampledQueries,
    onProgress: progress,
    onCore: result => notify('analysis/core', { id, result }),
  });
  clock.lap('sparse');
  const verified = await check(null);
  clock.lap('check');
  return {
    verified,
    mechanisms: [],
    sparse,
    notes: sparseNotes(sparse, analysis.tokens, analysis.model.info.cores),
  };
}

class Clock {
  readonly timings: Record<string, number> = {};
  private last = performance.now();

  lap(name: string): void {
    const now = performance.now();
    this.add(name, now - this.last);
    this.last = now;
  }

  add(name: string, milliseconds: number): void {
    this.timings[name] = (this.timings[name] ?? 0) + milliseconds;
  }
}

function notesOn(
  tokens: TokenTable,
  target: TargetText | null,
  given: boolean,
  limit: number,
  context: number | null,
  device: string[],
): string[] {
  const notes = [...device];
  const why = say(limit === context ? 'context' : 'limit');
  const cut = ({ ids, total, estimated }: TokenTable, name: 'text' | 'targetText') => {
    if (total <= ids.length) return;
    const length = estimated ? say('about', total) : total;
    notes.push(say('firstTokens', ids.length, say(name), why, length));
  };
  cut(tokens, 'text');
  if (target?.source === 'given') cut(target.tokens, 'targetText');
  if (target?.source === 'generated') notes.push(say('targetWritten'));
  if (target?.source === 'text') notes.push(say('textStandsIn'));
  if (given && target?.source !== 'given') notes.push(say('targetNotRead'));
  return notes;
}
