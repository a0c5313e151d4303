import { KEPT_BYTES, type Analysis } from './analysis';
import type { ModelTrial } from './modelTrial';
import { ModelCache, type LoadedModel } from './modelCache';
import { PROBE_ID, probeHeads } from './probe';
import { MAX_TOKENS, progressOf, runAnalysis, type AnalyzeHooks, type Notify } from './startAnalysis';
import { Turns } from './turns';
import { neverCancelled } from '../runtime/cancellation';
import { SharedCache } from '../runtime/sharedCache';
import type {
  AnalysisSummary,
  AnalyzeParams,
  HeadProbe,
  ProbeParams,
  ModelInfo,
  TokenTable,
} from '../../shared/protocol/engine';

/** Part of the memory limit that Q, K, V and dense outputs of all analyses may take, and what of it a new one is left at least. */
const RETAINED_PART = 1 / 2;
const NEW_PART = 1 / 4;
/** Part of it that all else that is kept for requests may take. */
const KEPT_PART = 1 / 8;

/** The analyses by their ids, the models they use, and the order in which long jobs run. */
export class Analyses {
  readonly models: ModelCache;
  readonly turns = new Turns();
  private readonly byId = new Map<string, Analysis>();
  private readonly running = new Map<string, AbortController>();
  private cache = new SharedCache<object>({ bytes: KEPT_BYTES });
  memoryLimitMiB = 4096;

  constructor(
    readonly notify: Notify,
    trial?: ModelTrial,
  ) {
    this.models = new ModelCache(trial);
  }

  /** Holds for analyses that are started from now on. */
  limitMemory(mebibytes: number): void {
    this.memoryLimitMiB = this.models.memoryLimitMiB = mebibytes;
    const bytes = KEPT_PART * Math.max(0, mebibytes) * 2 ** 20;
    this.cache = new SharedCache({ bytes: Math.min(KEPT_BYTES, bytes) });
  }

  /** @throws UnknownAnalysisError */
  get(id: string): Analysis {
    const found = this.byId.get(id);
    if (!found) throw new UnknownAnalysisError(id);
    return found;
  }

  forget(id: string): void {
    this.byId.get(id)?.forget();
    this.byId.delete(id);
  }

  /** A second start with the same id cancels the first. */
  async start(
    params: AnalyzeParams,
    signal: AbortSignal = neverCancelled,
    hooks: AnalyzeHooks = {},
  ): Promise<AnalysisSummary> {
    const { id } = params;
    this.running.get(id)?.abort();
    const replaced = new AbortController();
    this.running.set(id, replaced);
    const either = AbortSignal.any([signal, replaced.signal]);
    try {
      return await this.turns.take(() => this.run(params, hooks, either), either);
    } catch (error) {
      if (this.running.get(id) === replaced) this.forget(id);
      throw error;
    } finally {
      if (this.running.get(id) === replaced) this.running.delete(id);
    }
  }

  private async run(
    params: AnalyzeParams,
    hooks: AnalyzeHooks,
    signal: AbortSignal,
  ): Promise<AnalysisSummary> {
    const { id, model, device } = params;
    this.forget(id);
    const summary = await runAnalysis({
      params,
      hooks,
      signal,
      memoryLimitMiB: this.memoryLimitMiB,
      retainBytes: hooks.forget ? 0 : this.makeRoom(),
      cache: this.cache,
      notify: this.notify,
      load: () => this.load(model, device, signal, id),
      began: analysis => this.byId.set(id, analysis),
    });
    await this.trim();
    return summary;
  }

  /** Bytes that a new analysis may keep of its cores; the oldest ones let go of theirs where that is too little. */
  private makeRoom(): number {
    const limit = this.memoryLimitMiB * 2 ** 20;
    let kept = 0;
    // The latest first.
    for (const analysis of [...this.byId.values()].reverse()) {
      const bytes = analysis.retainedBytes;
      if (kept + bytes > (RETAINED_PART - NEW_PART) * limit) analysis.letGo();
      else kept += bytes;
    }
    return RETAINED_PART * limit - kept;
  }

  /** Lets go of models that no analysis uses. */
  private trim(): Promise<void> {
    return this.models.trim(new Set([...this.byId.values()].map(analysis => analysis.model)));
  }

  /** Loads and proves a model that no analysis uses yet. */
  prove(ref: string, device: AnalyzeParams['device'], signal: AbortSignal): Promise<ModelInfo> {
    return this.turns.take(async () => {
      const { model } = await this.load(ref, device, signal);
      await this.trim();
      return model.info;
    }, signal);
  }

  /** The canonical probe; nothing of it is kept. */
  probe({ model, device, seed = 1, resample }: ProbeParams, signal: AbortSignal): Promise<HeadProbe> {
    return this.turns.take(async () => {
      const loaded = await this.load(model, device, signal, PROBE_ID);
      const { memoryLimitMiB, cache } = this;
      const retainBytes = RETAINED_PART * memoryLimitMiB * 2 ** 20;
      const onProgress = progressOf(this.notify, PROBE_ID, 'propagate');
      const result = await probeHeads({
        loaded,
        seed,
        resample,
        memoryLimitMiB,
        retainBytes,
        cache,
        signal,
        onProgress,
      });
      await this.trim();
      return result;
    }, signal);
  }

  /** The tokens that an analysis would be of. */
  tokens(
    { model: ref, device, text, maxTokens }: Pick<AnalyzeParams, 'model' | 'device' | 'text' | 'maxTokens'>,
    signal: AbortSignal,
  ): Promise<{ model: ModelInfo; tokens: TokenTable }> {
    return this.turns.take(async () => {
      const { model, tokenizer } = await this.load(ref, device, signal);
      const limit = Math.min(maxTokens ?? MAX_TOKENS, model.info.context ?? MAX_TOKENS, MAX_TOKENS);
      return { model: model.info, tokens: await tokenizer.encode(text, limit) };
    }, signal);
  }

  /** Whether an analysis has had no dense pass. */
  isSparse(id: string): boolean {
    return this.byId.get(id)?.standIn != null;
  }

  async load(
    ref: string,
    device: AnalyzeParams['device'],
    signal: AbortSignal,
    id = '',
  ): Promise<LoadedModel> {
    this.notify('device/used', (await this.models.runtime(device)).report);
    const report = progressOf(this.notify, id, 'model');
    return this.models.load(ref, device, signal, message => report(0, message));
  }

  async dispose(): Promise<void> {
    for (const running of this.running.values()) running.abort();
    await this.turns.idle();
    this.byId.clear();
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
