import { VERSION } from './version';
import { readParams } from './attention/parameters';
import { findMechanism, mechanismInfos } from './attention/registry';
import { CancelledError, RefusedError } from './errors';
import type { CoreInput } from './attention/core';
import type { ModelOutput } from './model/cut/cutModel';
import { reportHtml } from './export/reportHtml';
import { lookThrough } from './lens/registry';
import { listHubVariants, listModels } from './model/source/source';
import { checkTokensFit } from './model/tokens/tokenizer';
import { refuseUnlessFits } from './runtime/memory';
import type {
  AnalysisSummary,
  AnalyzeParams,
  CoreInfo,
  EngineMethod,
  EngineNotifications,
  EngineParams,
  EngineResult,
  Intervention,
  MechanismChoice,
  ModelInfo,
  TargetText,
  TokenTable,
} from '../shared/protocol/engine';
import { Analysis, KEPT_BYTES } from './service/analysis';
import { atBudget } from './service/atBudget';
import { bucketMap, buckets } from './service/buckets';
import { assign } from './service/changedRun';
import { compareMeasures } from './service/compareMeasures';
import { costFormulas, forwardTimes, measureCosts } from './service/cost';
import { denseOutput } from './attention/kernels/dense';
import { notVerified } from '../shared/verified';
import { densePass } from './service/densePass';
import { intervene } from './service/interventions';
import { lostKeys } from './service/lostKeys';
import { fileLocalResult, propagate, runLocally } from './service/mechanismRuns';
import { ModelCache, type LoadedModel } from './service/modelCache';
import { exportPlan } from './service/plan/exportPlan';
import { gatherReport } from './service/report';
import { makePlan, type FoundPlan, type PlanOptions } from './service/plan/plan';
import { testPlan, type PlanOnText } from './service/plan/test';
import { fitSpansOf, outsideSpan } from './service/spans';
import { targetText } from './service/target';
import { tileOf } from './service/tiles';
import { lineOf, tokenAttention } from './service/tokenAttention';
import { workingBytes } from './service/workload';
import { mean } from './statistics';
import { neverCancelled } from './runtime/cancellation';
import { SharedCache } from './runtime/sharedCache';

export type Notify = <N extends keyof EngineNotifications>(name: N, params: EngineNotifications[N]) => void;

/** What only in-process callers (the command line, tests) may ask of an analysis. */
export interface AnalyzeHooks {
  onTensors?(info: CoreInfo, input: CoreInput, lse: Float32Array): Promise<void>;
  onTokens?(tokens: TokenTable): Promise<void>;
  onOutput?(output: ModelOutput): Promise<void>;
  /** Do not keep Q, K, V for later requests. */
  forget?: boolean;
}

/** Of the time of the dense pass, what the comparison with the uncut model may take (the rules take about 1 % more). */
const CHECK_SHARE = 0.03;

/** The service behind the child process and the command line: every request of the protocol is one method here. */
export class Engine {
  private readonly models = new ModelCache();
  private readonly analyses = new Map<string, Analysis>();
  private readonly running = new Map<string, AbortController>();
  private readonly cache = new SharedCache<object>({ bytes: KEPT_BYTES });
  private memoryLimitMiB = 4096;
  /** Long jobs (analyses, mechanism runs) go one after another; tiles and hovers slip in between their blocks. */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly notify: Notify = () => undefined) {}

  /** Answers one request. Errors are RefusedError, CancelledError or bugs. */
  async request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal = neverCancelled,
  ): Promise<EngineResult<M>> {
    const handler = this.handlers[method];
    return handler(params, signal);
  }

  private readonly handlers: {
    [M in EngineMethod]: (params: EngineParams<M>, signal: AbortSignal) => Promise<EngineResult<M>>;
  } = {
    initialize: async params => {
      this.memoryLimitMiB = params.memoryLimitMiB;
      return { version: VERSION, mechanisms: [...mechanismInfos] };
    },
    'models/list': ({ folders }) => listModels(folders),
    'models/variants': ({ ref }, signal) => listHubVariants(ref, { signal, onProgress: () => undefined }),
    'models/load': ({ ref, device }, signal) =>
      this.inTurn(async () => (await this.load(ref, device, signal, '')).model.info),
    'analysis/start': (params, signal) => this.analyze(params, signal),
    'analysis/mechanism': ({ id, mechanism, scope }, signal) =>
      this.inTurn(async () => {
        const analysis = this.analysis(id);
        const report = this.progressOf(id, scope === 'local' ? 'mechanism' : 'propagate');
        const title = findMechanism(mechanism.name).info.title;
        const local = await runLocally(analysis, complete(mechanism), signal, share => report(share, title));
        const result =
          scope === 'local' ? local : await propagate(analysis, local, signal, share => report(share, title));
        this.notify('analysis/mechanismDone', { id, result });
        return result;
      }),
    'analysis/compare': ({ id, mechanisms }, signal) =>
      this.inTurn(() => {
        const report = this.progressOf(id, 'mechanism');
        return compareMeasures(this.analysis(id), mechanisms.map(complete), signal, share =>
          report(share, 'Mechanisms in more detail'),
        );
      }),
    'analysis/atBudget': ({ id, ...params }, signal) =>
      this.inTurn(() => atBudget(this.analysis(id), params, signal, this.progressOf(id, 'mechanism'))),
    'analysis/assign': ({ id, heads }, signal) =>
      this.inTurn(() => {
        const report = this.progressOf(id, 'propagate');
        const completedHeads = heads.map(head => ({ ...head, choice: complete(head.choice) }));
        return assign(this.analysis(id), completedHeads, signal, share =>
          report(share, 'The text runs on with a mechanism for each head'),
        );
      }),
    'analysis/intervene': ({ id, interventions }, signal) =>
      this.inTurn(() => {
        const report = this.progressOf(id, 'propagate');
        return intervene(this.analysis(id), interventions.map(completeIntervention), signal, share =>
          report(share, 'The text runs on without what was taken away'),
        );
      }),
    'analysis/worst': (params, signal) =>
      lostKeys(
        this.analysis(params.id),
        {
          ...params,
          heads: params.heads.map(head => ({ ...head, choice: complete(head.choice) })),
          interventions: params.interventions?.map(completeIntervention),
        },
        signal,
      ),
    'analysis/plan': ({ id, ...options }, signal) =>
      this.inTurn(async () => {
        const report = this.progressOf(id, 'plan');
        const { plan } = await makePlan([this.analysis(id)], options, signal, report);
        return plan;
      }),
    'analysis/tile': (params, signal) => tileOf(this.analysis(params.id), completed(params), signal),
    'analysis/row': (params, signal) => lineOf(this.analysis(params.id), params, signal),
    'analysis/token': (params, signal) =>
      tokenAttention(
        this.analysis(params.id),
        { ...params, mechanisms: params.mechanisms.map(complete) },
        signal,
      ),
    'analysis/spans': async params => fitSpansOf(this.analysis(params.id), params),
    'analysis/outsideSpan': (params, signal) => outsideSpan(this.analysis(params.id), params, signal),
    'analysis/buckets': (params, signal) => buckets(this.analysis(params.id), completed(params), signal),
    'analysis/bucketMap': (params, signal) => bucketMap(this.analysis(params.id), completed(params), signal),
    'analysis/exportPlan': ({ id, plan, format }, signal) =>
      this.inTurn(() => exportPlan(this.analysis(id), plan, format, signal)),
    'analysis/report': ({ id, ...what }, signal) =>
      this.inTurn(async () => {
        const report = this.progressOf(id, 'mechanism');
        const data = await gatherReport(this.analysis(id), what, VERSION, signal, share =>
          report(share, 'Writing the report'),
        );
        return { html: await reportHtml(data) };
      }),
    'cost/formulas': (params, signal) =>
      costFormulas(
        this.analysis(params.id),
        { ...params, mechanisms: params.mechanisms.map(complete) },
        signal,
      ),
    'cost/measure': (params, signal) =>
      this.inTurn(() => {
        const mechanisms = params.mechanisms.map(complete);
        return measureCosts(
          this.analysis(params.id),
          { ...params, mechanisms },
          {
            signal,
            memoryLimitMiB: this.memoryLimitMiB,
            onPoint: (fraction, message, point) =>
              this.notify('cost/progress', { id: params.id, fraction, message, point }),
          },
        );
      }),
    'cost/forward': ({ id, runs }, signal) =>
      this.inTurn(() =>
        forwardTimes(this.analysis(id), runs, signal, fraction =>
          this.notify('cost/progress', { id, fraction, message: 'The model runs', point: null }),
        ),
      ),
    'analysis/lens': (params, signal) =>
      this.inTurn(() => {
        const analysis = this.analysis(params.id);
        return lookThrough(analysis, params, {
          signal,
          tokenizer: this.models.tokenizerOf(analysis.model),
          onProgress: () => undefined,
        });
      }),
    'analysis/dispose': async ({ id }) => {
      this.forget(id);
      return null;
    },
    shutdown: async () => {
      await this.dispose();
      return null;
    },
  };

  /** The names of all requests. */
  readonly methods = Object.keys(this.handlers) as readonly EngineMethod[];

  /**
   * Tokenizes the text, runs the model with dense cores and all measures, compares the mechanisms and, when asked,
   * runs the text on with each of them. A second start with the same id cancels the first.
   */
  async analyze(
    params: AnalyzeParams,
    signal: AbortSignal = neverCancelled,
    hooks: AnalyzeHooks = {},
  ): Promise<AnalysisSummary> {
    this.running.get(params.id)?.abort();
    const replaced = new AbortController();
    this.running.set(params.id, replaced);
    const either = AbortSignal.any([signal, replaced.signal]);
    try {
      return await this.inTurn(() => this.runAnalysis(params, either, hooks));
    } catch (error) {
      if (this.running.get(params.id) === replaced) this.forget(params.id);
      throw error;
    } finally {
      if (this.running.get(params.id) === replaced) this.running.delete(params.id);
    }
  }

  /** For in-process callers: the tokens that an analysis would be of. */
  tokens(
    { model: ref, device, text, maxTokens }: Pick<AnalyzeParams, 'model' | 'device' | 'text' | 'maxTokens'>,
    signal: AbortSignal = neverCancelled,
  ): Promise<{ model: ModelInfo; tokens: TokenTable }> {
    return this.inTurn(async () => {
      const { model, tokenizer } = await this.load(ref, device, signal, '');
      const limit = Math.min(maxTokens ?? MAX_TOKENS, model.info.context ?? MAX_TOKENS, MAX_TOKENS);
      return { model: model.info, tokens: await tokenizer.encode(text, limit) };
    });
  }

  /** For in-process callers: a plan fitted to several analyses of the same model, with what it was compared with. */
  plan(
    ids: readonly string[],
    options: PlanOptions,
    signal: AbortSignal = neverCancelled,
    rivals = true,
  ): Promise<FoundPlan> {
    return this.inTurn(() => {
      const texts = ids.map(id => this.analysis(id));
      return makePlan(texts, options, signal, this.progressOf(ids[0]!, 'plan'), rivals);
    });
  }

  /** The plan and its rivals on another analysed text. */
  testPlan(id: string, found: FoundPlan, signal: AbortSignal = neverCancelled): Promise<PlanOnText> {
    const report = this.progressOf(id, 'plan');
    return this.inTurn(() =>
      testPlan(this.analysis(id), found, signal, share =>
        report(share, 'The plan and simpler choices on another text'),
      ),
    );
  }

  private async runAnalysis(
    params: AnalyzeParams,
    signal: AbortSignal,
    hooks: AnalyzeHooks,
  ): Promise<AnalysisSummary> {
    if (signal.aborted) throw new CancelledError();
    this.forget(params.id);
    const choices = params.mechanisms.map(complete);
    const clock = new Clock();
    const loaded = await this.load(params.model, params.device, signal, params.id);
    const { model, tokenizer, runtime } = loaded;
    clock.lap('model');

    const limit = Math.min(params.maxTokens ?? Infinity, model.info.context ?? Infinity, MAX_TOKENS);
    const tokens = await tokenizer.encode(params.text, Number.isFinite(limit) ? limit : null);
    if (tokens.ids.length === 0) throw new RefusedError('The text is empty: there is nothing to analyze.');
    checkTokensFit(tokens, model.info.vocabulary);
    const target = await targetText(
      loaded,
      tokens,
      params.text,
      params.target ?? null,
      limit,
      signal,
      this.progressOf(params.id, 'tokens'),
    );
    if (target) checkTokensFit(target.tokens, model.info.vocabulary);
    clock.lap('tokens');
    const working = workingBytes(model.info, tokens.ids.length);
    refuseUnlessFits(
      working,
      this.memoryLimitMiB,
      `An analysis of ${tokens.ids.length} tokens with this model`,
    );
    await model.checkRules(tokens.ids, { signal, targetIds: target?.tokens.ids });
    clock.lap('rules');
    const analysis = new Analysis(params.id, model, runtime, tokens, target, this.cache);
    this.analyses.set(params.id, analysis);
    this.notify('analysis/began', {
      id: params.id,
      model: model.info,
      device: runtime.report,
      tokens,
      target,
    });
    await hooks.onTokens?.(tokens);

    const context = analysis.context(signal);
    const retain = this.memoryLimitMiB * 2 ** 20 * 0.5;
    const share = 1 / (1 + (params.propagate ? choices.length : 0));
    const dense = this.progressOf(params.id, 'dense');
    let output: ModelOutput | null = null;
    const runs = await densePass(analysis, {
      signal,
      mechanisms: choices,
      retainBytes: hooks.forget ? 0 : Math.max(0, retain),
      onProgress: (fraction, message) => dense(fraction * share, message),
      onCore: result => this.notify('analysis/core', { id: params.id, result }),
      onTensors: hooks.onTensors,
      onOutput: async given => {
        output = given;
        await hooks.onOutput?.(given);
      },
    });
    clock.lap('dense');
    const verified = await model.checkText(tokens.ids, output!, (_, input) => denseOutput(input, context), {
      signal,
      targetIds: target?.tokens.ids,
      milliseconds: CHECK_SHARE * clock.timings['dense']!,
    });
    clock.lap('check');

    const refused = runs.flatMap(({ choice, refused }) => (refused === null ? [] : [{ choice, refused }]));
    let results = runs.filter(run => run.refused === null).map(run => fileLocalResult(analysis, run));
    for (const run of runs) clock.add(`mechanism ${run.choice.name}`, run.milliseconds);
    if (params.propagate) {
      const report = this.progressOf(params.id, 'propagate');
      const propagated = [];
      for (const [m, local] of results.entries()) {
        const title = findMechanism(local.name).info.title;
        const result = await propagate(analysis, local, signal, done =>
          report((1 + m + done) * share, `The text runs on with ${title}`),
        );
        clock.lap(`propagate ${local.name}`);
        propagated.push(result);
      }
      results = propagated;
    }
    for (const result of results) this.notify('analysis/mechanismDone', { id: params.id, result });
    await this.models.trim(new Set([...this.analyses.values()].map(a => a.model)));
    return {
      id: params.id,
      model: model.info,
      device: runtime.report,
      tokens,
      target,
      cores: analysis.cores.map(core => core.result),
      loss:
        analysis.loss && analysis.loss.length > 0
          ? { mean: mean(analysis.loss), perToken: analysis.loss }
          : null,
      mechanisms: results,
      timings: clock.timings,
      peakRssMiB: process.resourceUsage().maxRSS / 1024,
      verified,
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
        ...refused.map(
          ({ choice, refused }) => `${findMechanism(choice.name).info.title} is left out: ${refused}`,
        ),
      ],
    };
  }

  private load(
    ref: string,
    device: AnalyzeParams['device'],
    signal: AbortSignal,
    id: string,
  ): Promise<LoadedModel> {
    const report = this.progressOf(id, 'model');
    return this.models.load(ref, device, signal, message => report(0, message));
  }

  /** For in-process callers beside the requests. @throws UnknownAnalysisError */
  analysis(id: string): Analysis {
    const found = this.analyses.get(id);
    if (!found) throw new UnknownAnalysisError(id);
    return found;
  }

  private forget(id: string): void {
    this.analyses.get(id)?.forget();
    this.analyses.delete(id);
  }

  private progressOf(id: string, phase: EngineNotifications['analysis/progress']['phase']) {
    return (fraction: number, message: string) =>
      this.notify('analysis/progress', { id, phase, fraction: Math.min(1, fraction), message });
  }

  private inTurn<T>(job: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(job);
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  async dispose(): Promise<void> {
    for (const running of this.running.values()) running.abort();
    await this.queue;
    this.analyses.clear();
    await this.models.dispose();
  }
}

/** No analysis of that id: it was cleared, replaced, or the engine was restarted since. */
export class UnknownAnalysisError extends Error {
  override readonly name = 'UnknownAnalysisError';
  constructor(id: string) {
    super(`There is no analysis "${id}" in the engine; analyze the text again.`);
  }
}

/** Checks the parameters against the mechanism's schema and fills in the defaults. */
function complete(choice: MechanismChoice): MechanismChoice {
  return { name: choice.name, params: readParams(findMechanism(choice.name).info, choice.params) };
}

function completeIntervention(one: Intervention): Intervention {
  return one.kind === 'mechanism' ? { ...one, choice: complete(one.choice) } : one;
}

function completed<P extends { mechanism?: MechanismChoice }>(params: P): P {
  return params.mechanism ? { ...params, mechanism: complete(params.mechanism) } : params;
}

/** Beyond this even linear structures and the interface suffer, whatever the model allows. */
const MAX_TOKENS = 131_072;

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
  const why = limit === context ? `the model's context` : 'the limit';
  const cut = ({ ids, total, estimated }: TokenTable, name: string) => {
    if (total <= ids.length) return;
    const length = `${estimated ? 'about ' : ''}${total}`;
    notes.push(
      `Only the first ${ids.length} tokens of the ${name} were analyzed (${why}); it has ${length}.`,
    );
  };
  cut(tokens, 'text');
  if (target?.source === 'given') cut(target.tokens, 'target text');
  if (target?.source === 'generated') notes.push('The target text was written greedily by the model itself.');
  if (target?.source === 'text') {
    notes.push(
      'The text itself stands in for the target text: the model has one input for both, or none was given and the tokenizer marks no start and end token.',
    );
  }
  if (given && target?.source !== 'given') {
    notes.push('The given target text is not read: the model has no input of its own for one.');
  }
  return notes;
}
