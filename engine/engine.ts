import { predictions } from './service/predictions';
import { VERSION } from './version';
import { profileFolder } from './corpus/profileFolder';
import { corpusReport } from './corpus/report';
import { readProfile } from './corpus/store';
import { RefusedError } from './errors';
import { findMechanism, mechanismInfos } from './attention/registry';
import { reportHtml } from './export/reportHtml';
import { lookThrough } from './lens/registry';
import { cacheInfo, removeModels } from './model/source/hubCache';
import { listHubVariants, listModels } from './model/source/source';
import { neverCancelled } from './runtime/cancellation';
import { refusalOfAllocation } from './runtime/memory';
import { watch } from './runtime/watch';
import type {
  AnalysisSummary,
  AnalyzeParams,
  DeviceChoice,
  DeviceReport,
  EngineMethod,
  EngineParams,
  EngineResult,
  ModelInfo,
  TokenTable,
} from '../shared/protocol/engine';
import { ablateHeads, type AblationHooks } from './service/ablation';
import { Analyses } from './service/analyses';
import { attribution } from './service/attribution';
import type { Analysis } from './service/analysis';
import { atBudget } from './service/atBudget';
import { bucketMap, buckets } from './service/buckets';
import { assign } from './service/changedRun';
import { compareMeasures } from './service/compareMeasures';
import { costFormulas, forwardTimes, measureCosts } from './service/cost';
import { intervene } from './service/interventions';
import { lossByGroup } from './service/lossGroups';
import { lostKeys } from './service/lostKeys';
import { propagate, runLocally } from './service/mechanismRuns';
import { patchEdges } from './service/patchEdges';
import { patch } from './service/patching';
import { patchResidual } from './service/patchResidual';
import { exportPlan } from './service/plan/exportPlan';
import { makePlan, type FoundPlan, type PlanOptions } from './service/plan/plan';
import { testPlan, type PlanOnText } from './service/plan/test';
import type { ModelTrial } from './service/modelTrial';
import { withSettings } from './service/readSettings';
import { gatherReport } from './service/report';
import { rollout } from './service/rollout';
import { fitSpansOf, outsideSpan } from './service/spans';
import {
  progressOf,
  type AnalyzeHooks,
  type Notify,
  type Phase,
  type Progress,
} from './service/startAnalysis';
import { tileOf } from './service/tiles';
import { lineOf, tokenAttention } from './service/tokenAttention';
import { tokenAttribution } from './service/tokenAttribution';
import { valueWeights } from './service/valueWeights';

export { UnknownAnalysisError } from './service/analyses';
export type { AnalyzeHooks, Notify } from './service/startAnalysis';

/** Requests about an analysis that need no dense pass. */
const WITHOUT_DENSE: ReadonlySet<EngineMethod> = new Set([
  'analysis/start',
  'analysis/dispose',
  'analysis/tile',
  'analysis/row',
  'analysis/token',
  'analysis/spans',
  'cost/formulas',
  'cost/measure',
]);

type Handlers = {
  [M in EngineMethod]: (params: EngineParams<M>, signal: AbortSignal) => Promise<EngineResult<M>>;
};

/** The service behind the child process and the command line: the table of all requests of the protocol. */
export class Engine {
  private readonly analyses: Analyses;

  /** `trial`: what an unknown model goes through before it is loaded here. */
  constructor(
    readonly notify: Notify = () => undefined,
    trial?: ModelTrial,
  ) {
    this.analyses = new Analyses(notify, trial);
  }

  /** Answers one request. Errors are RefusedError, CancelledError or bugs. */
  async request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal = neverCancelled,
  ): Promise<EngineResult<M>> {
    const handler: Handlers[M] = this.handlers[method];
    this.refuseDense(method, params);
    try {
      return await handler(withSettings(params), signal);
    } catch (error) {
      throw refusalOfAllocation(error);
    }
  }

  /** What compares with dense attention needs a dense pass. */
  private refuseDense(method: EngineMethod, params: unknown): void {
    const id = (params as { id?: string } | null)?.id;
    if (id === undefined || WITHOUT_DENSE.has(method) || !this.analyses.isSparse(id)) return;
    throw new RefusedError(
      'This text was analyzed without a dense pass: what compares with dense attention needs one.',
    );
  }

  private readonly handlers: Handlers = {
    initialize: async ({ memoryLimitMiB, crashed = [] }) => {
      this.analyses.models.crashed = crashed;
      this.analyses.limitMemory(memoryLimitMiB);
      watch.allow(memoryLimitMiB);
      return { version: VERSION, mechanisms: [...mechanismInfos] };
    },
    shutdown: async () => {
      await this.dispose();
      return null;
    },

    'models/list': ({ folders }) => listModels(folders),
    'models/cache': () => cacheInfo(),
    'models/removeCached': async ({ ids }) => {
      await removeModels(ids);
      return cacheInfo();
    },
    'models/variants': ({ ref }, signal) => listHubVariants(ref, { signal, onProgress: () => undefined }),
    'models/inspect': ({ ref }, signal) => this.analyses.models.inspect(ref, signal),
    'models/load': ({ ref, device }, signal) => this.analyses.prove(ref, device, signal),

    'heads/probe': (params, signal) => this.analyses.probe(params, signal),

    'analysis/start': (params, signal) => this.analyze(params, signal),
    'corpus/profile': (params, signal) => profileFolder(this, params, signal),
    'corpus/report': async ({ folder, document, language }) => ({
      html: await reportHtml(corpusReport(await readProfile(folder), document), language),
    }),
    'analysis/dispose': async ({ id }) => {
      this.analyses.forget(id);
      return null;
    },

    // What views and hovers ask while they are looked at.
    'analysis/tile': this.asked(tileOf),
    'analysis/row': this.asked(lineOf),
    'analysis/valueWeights': this.asked(valueWeights),
    'analysis/token': this.asked(tokenAttention),
    'analysis/predictions': this.asked((analysis, params, signal) =>
      predictions(analysis, params, this.analyses.models.tokenizerOf(analysis.model), signal),
    ),
    'analysis/spans': this.asked(async (analysis, params) => fitSpansOf(analysis, params)),
    'analysis/outsideSpan': this.asked(outsideSpan),
    'analysis/buckets': this.asked(buckets),
    'analysis/bucketMap': this.asked(bucketMap),
    'analysis/worst': this.asked(lostKeys),
    'cost/formulas': this.asked(costFormulas),

    // Jobs: one at a time.
    'analysis/mechanism': this.job(async (analysis, { mechanism, scope }, signal, progress) => {
      const { title } = findMechanism(mechanism.name).info;
      const report = progress(scope === 'local' ? 'mechanism' : 'propagate', title);
      const local = await runLocally(analysis, mechanism, signal, report);
      const result = scope === 'local' ? local : await propagate(analysis, local, signal, report);
      this.notify('analysis/mechanismDone', { id: analysis.id, result });
      return result;
    }),
    'analysis/compare': this.job((analysis, { mechanisms }, signal, progress) =>
      compareMeasures(analysis, mechanisms, signal, progress('mechanism', 'Mechanisms in more detail')),
    ),
    'analysis/atBudget': this.job((analysis, params, signal, progress) =>
      atBudget(analysis, params, signal, progress('mechanism')),
    ),
    'analysis/assign': this.job((analysis, { heads }, signal, progress) => {
      const report = progress('propagate', 'The text runs on with a mechanism for each head');
      return assign(analysis, heads, signal, report);
    }),
    'analysis/intervene': this.job((analysis, { interventions }, signal, progress) => {
      const report = progress('propagate', 'The text runs on without what was taken away');
      return intervene(analysis, interventions, signal, report);
    }),
    'analysis/ablate': this.job((analysis, { resample }, signal, progress) => {
      const onProgress = progress('propagate', 'The text runs on without each head');
      const onHead: AblationHooks['onHead'] = (head, measure) =>
        this.notify('analysis/ablated', { id: analysis.id, measure, head });
      return ablateHeads(analysis, signal, { onProgress, onHead, resample });
    }),
    'analysis/attribution': this.job((analysis, _, signal, progress) =>
      attribution(analysis, signal, progress('propagate', 'What each head says to the logits')),
    ),
    'analysis/tokenAttribution': this.job((analysis, { id: _, ...asked }, signal) =>
      tokenAttribution(analysis, asked, this.analyses.models.tokenizerOf(analysis.model), signal),
    ),
    'analysis/patch': this.job((analysis, { id: _, from, ...given }, signal, progress) => {
      const tokenizer = this.analyses.models.tokenizerOf(analysis.model);
      const report = progress('propagate', 'The text runs on with each head of the other text');
      return patch(analysis, this.analyses.get(from), given, tokenizer, signal, report);
    }),
    'analysis/patchResidual': this.job((analysis, { id: _, from, ...given }, signal, progress) => {
      const tokenizer = this.analyses.models.tokenizerOf(analysis.model);
      const report = progress('propagate', 'The text runs on with the residual stream of the other text');
      return patchResidual(analysis, this.analyses.get(from), given, tokenizer, signal, report);
    }),
    'analysis/patchEdges': this.job((analysis, { id: _, from, ...given }, signal, progress) => {
      const tokenizer = this.analyses.models.tokenizerOf(analysis.model);
      const report = progress('propagate', 'The text runs on with edges of the other text');
      return patchEdges(analysis, this.analyses.get(from), given, tokenizer, signal, report);
    }),
    'analysis/rollout': this.job((analysis, params, signal, progress) =>
      rollout(analysis, params, signal, progress('mechanism', 'Attention multiplied over the layers')),
    ),
    'analysis/lossGroups': this.job((analysis, params, signal, progress) => {
      const tokenizer = this.analyses.models.tokenizerOf(analysis.model);
      return lossByGroup(
        analysis,
        params,
        tokenizer,
        signal,
        progress('propagate', 'The loss by groups of tokens'),
      );
    }),
    'analysis/plan': this.job(async (analysis, { id: _, ...options }, signal, progress) => {
      const { plan } = await makePlan([analysis], options, signal, progress('plan'));
      return plan;
    }),
    'analysis/exportPlan': this.job((analysis, { plan, format }, signal) =>
      exportPlan(analysis, plan, format, signal),
    ),
    'analysis/details': this.job(async (analysis, { id: _, ...what }, signal, progress) => {
      const report = progress('mechanism', 'Gathering what the views show');
      const { version, made, infos, level, links, mechanisms, cores, costs, changes } = await gatherReport(
        analysis,
        what,
        VERSION,
        signal,
        report,
      );
      return { version, made, infos, level, links, mechanisms, cores, costs, changes };
    }),
    'analysis/report': this.job(async (analysis, { id: _, ...what }, signal, progress) => {
      const report = progress('mechanism', 'Writing the report');
      const data = await gatherReport(analysis, what, VERSION, signal, report);
      return { html: await reportHtml(data, what.language) };
    }),
    'analysis/lens': this.job((analysis, params, signal) =>
      lookThrough(analysis, params, {
        signal,
        tokenizer: this.analyses.models.tokenizerOf(analysis.model),
        onProgress: () => undefined,
      }),
    ),
    'cost/measure': this.job((analysis, params, signal) =>
      measureCosts(analysis, params, {
        signal,
        memoryLimitMiB: this.analyses.memoryLimitMiB,
        onPoint: (fraction, message, point) =>
          this.notify('cost/progress', { id: analysis.id, fraction, message, point }),
      }),
    ),
    'cost/forward': this.job((analysis, { runs }, signal) =>
      forwardTimes(analysis, runs, signal, fraction =>
        this.notify('cost/progress', { id: analysis.id, fraction, message: 'The model runs', point: null }),
      ),
    ),
  };

  /** The names of all requests. */
  readonly methods = Object.keys(this.handlers) as readonly EngineMethod[];

  /** A request that is answered at once, between the blocks of whatever job runs. */
  private asked<P extends { id: string }, R>(
    answer: (analysis: Analysis, params: P, signal: AbortSignal) => Promise<R>,
  ): (params: P, signal: AbortSignal) => Promise<R> {
    return async (params, signal) => answer(this.analyses.get(params.id), params, signal);
  }

  /** A request that takes long: it waits for its turn, and tells how far it is. */
  private job<P extends { id: string }, R>(
    answer: (
      analysis: Analysis,
      params: P,
      signal: AbortSignal,
      progress: (phase: Phase, about?: string) => Progress,
    ) => Promise<R>,
  ): (params: P, signal: AbortSignal) => Promise<R> {
    return (params, signal) =>
      this.inTurn(async () => {
        const { id } = params;
        const progress = (phase: Phase, about?: string) => progressOf(this.notify, id, phase, about);
        return answer(this.analyses.get(id), params, signal, progress);
      }, signal);
  }

  private inTurn<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.analyses.turns.take(job, signal);
  }

  // ------------------------------------------------ for callers in the same process

  analyze(params: AnalyzeParams, signal?: AbortSignal, hooks?: AnalyzeHooks): Promise<AnalysisSummary> {
    return this.analyses.start(params, signal, hooks);
  }

  /** @throws UnknownAnalysisError */
  analysis(id: string): Analysis {
    return this.analyses.get(id);
  }

  /** Where models run that are asked for with this device. */
  async device(choice: DeviceChoice): Promise<DeviceReport> {
    return (await this.analyses.models.runtime(choice)).report;
  }

  /** The tokens that an analysis would be of. */
  tokens(
    what: Pick<AnalyzeParams, 'model' | 'device' | 'text' | 'maxTokens'>,
    signal: AbortSignal = neverCancelled,
  ): Promise<{ model: ModelInfo; tokens: TokenTable }> {
    return this.analyses.tokens(what, signal);
  }

  /** A plan fitted to several analyses of the same model, with what it was compared with. */
  plan(
    ids: readonly string[],
    options: PlanOptions,
    signal: AbortSignal = neverCancelled,
    baselines = true,
  ): Promise<FoundPlan> {
    const report = progressOf(this.notify, ids[0]!, 'plan');
    const job = async () =>
      makePlan(
        ids.map(id => this.analysis(id)),
        options,
        signal,
        report,
        baselines,
      );
    return this.inTurn(job, signal);
  }

  /** The plan and its baselines on another analysed text. */
  testPlan(id: string, found: FoundPlan, signal: AbortSignal = neverCancelled): Promise<PlanOnText> {
    const report = progressOf(this.notify, id, 'plan', 'The plan and simpler choices on another text');
    return this.inTurn(async () => testPlan(this.analysis(id), found, signal, report), signal);
  }

  dispose(): Promise<void> {
    return this.analyses.dispose();
  }
}
