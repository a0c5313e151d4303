/** The texts that the tools have read: several questions about the same one read it once. */
import type {
  AnalysisSummary,
  DeviceChoice,
  EngineMethod,
  EngineParams,
  EngineResult,
  ModelInfo,
  TokenTable,
} from '../protocol/engine';
import { insideOf } from './served';

/** What a side gives the tools: an engine, and which files and models they may read. */
export interface ToolHost {
  readonly device: DeviceChoice;
  ask<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal,
  ): Promise<EngineResult<M>>;
  /** Whether the engine no longer knows the analysis that it was asked about. */
  isLost(error: unknown): boolean;
  /** The folders that are served: nothing outside of them is read on an assistant's wish. */
  readonly folders: readonly string[];
  /** The text of such a file. Throws a sentence where it is none. */
  readText(path: string): Promise<string>;
  /** The model that the user has chosen, as the engine takes it. */
  readonly model: string;
}

/** The source of a question, as its schema has read it. */
export interface Source {
  text?: string | undefined;
  file?: string | undefined;
  model?: string | undefined;
  maxTokens: number;
}

/** An analysis that can be asked about. */
export interface ReadText {
  id: string;
  text: string;
  summary: AnalysisSummary;
}

/** Analyses that are kept in the engine. */
const KEPT = 3;

export class Texts {
  /** By what was read, the latest last. */
  private readonly kept = new Map<string, ReadText>();
  private readonly running = new Map<string, Promise<unknown>>();
  private count = 0;

  constructor(readonly host: ToolHost) {}

  /** Asks about the text; it is read anew when the engine was started anew since. */
  async with<T>(source: Source, signal: AbortSignal, answer: (read: ReadText) => Promise<T>): Promise<T> {
    const read = await this.read(source, signal);
    try {
      return await answer(read);
    } catch (error) {
      if (!this.host.isLost(error)) throw error;
      for (const [key, one] of this.kept) if (one === read) this.kept.delete(key);
      return answer(await this.read(source, signal));
    }
  }

  private async read(source: Source, signal: AbortSignal): Promise<ReadText> {
    const text = await this.textOf(source);
    const model = await this.modelOf(source.model, signal);
    const key = JSON.stringify([model, source.maxTokens, text]);
    // Whoever asks for the same meanwhile waits, and reads it itself only when that fails.
    while (this.running.has(key)) await this.running.get(key);
    const kept = this.kept.get(key);
    if (kept) {
      this.kept.delete(key);
      this.kept.set(key, kept);
      return kept;
    }
    const reading = this.start(text, model, source.maxTokens, signal);
    const settled = reading.catch(() => undefined).finally(() => this.running.delete(key));
    this.running.set(key, settled);
    const read = await reading;
    this.kept.set(key, read);
    this.letGo();
    return read;
  }

  /** The user's choice, a bundled model, or one in the folders: none is downloaded because an assistant names it. */
  async modelOf(given: string | undefined, signal: AbortSignal): Promise<string> {
    const { host } = this;
    if (given === undefined || given === host.model) return host.model;
    const known = await host.ask('models/list', { folders: [] }, signal);
    const isBundled = known.some(({ source, ref }) => source === 'bundled' && ref === given);
    return isBundled || given === 'bundled' ? given : insideOf(host.folders, given);
  }

  private async textOf({ text, file }: Source): Promise<string> {
    if ((text === undefined) === (file === undefined)) throw new Error('Give either `text` or `file`.');
    return text ?? this.host.readText(await insideOf(this.host.folders, file!));
  }

  private async start(
    text: string,
    model: string,
    maxTokens: number,
    signal: AbortSignal,
  ): Promise<ReadText> {
    const id = `tool#${++this.count}`;
    const { device } = this.host;
    const params = { id, model, text, device, maxTokens, mechanisms: [], propagate: false };
    return { id, text, summary: await this.host.ask('analysis/start', params, signal) };
  }

  private letGo(): void {
    for (const [key, { id }] of [...this.kept].slice(0, -KEPT)) {
      this.kept.delete(key);
      this.host.ask('analysis/dispose', { id }, new AbortController().signal).catch(() => undefined);
    }
  }
}

/** What every answer says of what was read. */
export function readOf(model: ModelInfo, tokens: Pick<TokenTable, 'ids' | 'total'>) {
  const { name, kind, layers, heads, context } = model;
  return {
    model: { name, kind, layers, heads, context },
    tokens: tokens.ids.length,
    textTokens: tokens.total,
  };
}
