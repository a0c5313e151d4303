import { LRUCache } from 'lru-cache';
import { CancelledError, RefusedError, told, UsageError } from '../errors';
import { denseOutput } from '../attention/kernels/dense';
import type { CutModel } from '../model/cut/cutModel';
import { loadModel } from '../model/load';
import { graphFiles, lookOf } from '../model/onnx/graphFiles';
import { resolveModel } from '../model/source/source';
import { loadTokenizer, type Tokenizer } from '../model/tokens/tokenizer';
import type { CrashedDevice, DeviceChoice, ModelInspection } from '../../shared/protocol/engine';
import { filesBeside, fingerprint } from './fingerprint';
import type { ModelTrial } from './modelTrial';
import { createRuntime } from '../runtime/ort';
import type { Runtime } from '../runtime/runtime';

export interface LoadedModel {
  model: CutModel;
  tokenizer: Tokenizer;
  runtime: Runtime;
  /** The model's config.json. */
  config: Readonly<Record<string, unknown>>;
  /** The files that it was loaded of, and how they looked. */
  paths: readonly string[];
  look: string;
}

/** More models than anybody's memory holds. */
const MOST_AT_ONCE = 1024;

/** One runtime per wished-for device, and the models last used on them. */
export class ModelCache {
  /** Devices that are not to be used. */
  crashed: readonly CrashedDevice[] = [];
  /** Of trials of unknown models. */
  memoryLimitMiB = 4096;
  private readonly runtimes = new Map<DeviceChoice, Promise<Runtime>>();
  /** In the order of use; how many there are is up to `trim`, which must spare those that analyses use. */
  private readonly models = new LRUCache<string, LoadedModel>({ max: MOST_AT_ONCE });

  /** `limit`: models that stay loaded; weights are the largest thing the engine holds. */
  constructor(
    private readonly trial: ModelTrial | null = null,
    private readonly limit = 2,
  ) {}

  runtime(device: DeviceChoice): Promise<Runtime> {
    let runtime = this.runtimes.get(device);
    if (!runtime) {
      runtime = createRuntime(device, this.crashed);
      runtime.catch(() => this.runtimes.delete(device));
      this.runtimes.set(device, runtime);
    }
    return runtime;
  }

  /** Loads and proves the model, or gives the one already loaded. */
  async load(
    ref: string,
    device: DeviceChoice,
    signal: AbortSignal,
    onProgress: (message: string) => void,
  ): Promise<LoadedModel> {
    const key = `${device}|${ref}`;
    const known = this.models.get(key);
    if (known && lookOf(known.paths) === known.look) return known;
    // Written anew since: analyses may hold the old one, which answers no more.
    if (known) this.models.set(`${key}|${known.look}`, known);
    this.models.delete(key);
    const loaded = await this.loadAnew(ref, await this.runtime(device), signal, onProgress);
    this.models.set(key, loaded);
    return loaded;
  }

  private async loadAnew(
    ref: string,
    runtime: Runtime,
    signal: AbortSignal,
    onProgress: (message: string) => void,
  ): Promise<LoadedModel> {
    try {
      return await this.loadFiles(ref, runtime, signal, onProgress);
    } catch (error) {
      throw asRefusal(error, ref);
    }
  }

  private async loadFiles(
    ref: string,
    runtime: Runtime,
    signal: AbortSignal,
    onProgress: (message: string) => void,
  ): Promise<LoadedModel> {
    const files = await resolveModel(ref, { signal, onProgress });
    const tokenizer = await loadTokenizer(files.folder);
    try {
      const { memoryLimitMiB } = this;
      await this.trial?.attempt(files, { signal, onProgress, memoryLimitMiB });
      const context = { runtime, signal, own: {} };
      const found = { ...files, paths: graphFiles(files) };
      const paths = [...found.paths, ...filesBeside(files)];
      const look = lookOf(paths);
      const model = await loadModel({ ...found, fingerprint: await fingerprint(found) }, runtime, {
        signal,
        onProgress,
        attend: (_, input) => denseOutput(input, context),
      });
      return { model, tokenizer, runtime, config: files.config ?? {}, paths, look };
    } catch (error) {
      tokenizer.dispose();
      throw error;
    }
  }

  /** What a model is, without loading it here. */
  async inspect(ref: string, signal: AbortSignal): Promise<ModelInspection> {
    const { trial, memoryLimitMiB } = this;
    if (!trial) throw new Error('internal: an engine without trials cannot look at models');
    const onProgress = () => undefined;
    const files = await resolveModel(ref, { signal, onProgress });
    return trial.inspect(files, { signal, onProgress, memoryLimitMiB });
  }

  /** The tokenizer of a model that is loaded. */
  tokenizerOf(model: CutModel): Tokenizer {
    for (const loaded of this.models.values()) if (loaded.model === model) return loaded.tokenizer;
    throw new Error('internal: the model of an analysis is not loaded');
  }

  /** Lets go of the least recently used models that no analysis uses. */
  async trim(used: ReadonlySet<CutModel>): Promise<void> {
    for (const key of [...this.models.rkeys()]) {
      const { model, tokenizer } = this.models.peek(key)!;
      if (this.models.size <= this.limit) return;
      if (used.has(model)) continue;
      this.models.delete(key);
      tokenizer.dispose();
      await model.dispose();
    }
  }

  async dispose(): Promise<void> {
    for (const { model, tokenizer } of this.models.values()) {
      tokenizer.dispose();
      await model.dispose();
    }
    this.models.clear();
    for (const runtime of this.runtimes.values()) await (await runtime.catch(() => null))?.dispose();
    this.runtimes.clear();
  }
}

/**
 * Whatever goes wrong while the files of a model are read, cut and proved is told as a refusal: they may be of any form.
 * What happened is its cause, for the log.
 */
function asRefusal(error: unknown, ref: string): unknown {
  if (error instanceof RefusedError || error instanceof UsageError || error instanceof CancelledError)
    return error;
  return new RefusedError(
    told`The model ${ref} cannot be loaded: its files are damaged, or of a form that is not understood.`,
    {
      cause: error,
    },
  );
}
