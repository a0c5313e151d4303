/** A profile of many texts: each is analysed once, adds what it has to the corpus, and is forgotten. */
import { join } from 'node:path';
import { CancelledError, RefusedError, told, UsageError } from '../errors';
import { readText } from '../readText';
import { VERSION } from '../version';
import type { AnalyzeHooks } from '../service/startAnalysis';
import { checkpoint } from '../runtime/cancellation';
import type {
  AnalysisSummary,
  AnalyzeParams,
  DeviceChoice,
  ModelInfo,
  Setting,
} from '../../shared/protocol/engine';
import { Corpus } from './corpus';
import type { CorpusFile } from './files';
import { hashOf } from '../hash';
import { TextGathering } from './gather';
import type { Part } from './parts';
import { keep, resume } from './store';
import type { CorpusSettings, CorpusText } from '../../shared/protocol/corpus';

/** What a profile asks of the engine. */
export interface ProfileEngine {
  analyze(params: AnalyzeParams, signal: AbortSignal, hooks: AnalyzeHooks): Promise<AnalysisSummary>;
  request(method: 'analysis/dispose', params: { id: string }): Promise<null>;
}

export interface ProfileRun {
  engine: ProfileEngine;
  /** What the paths of the files are relative to. */
  root: string;
  files: readonly CorpusFile[];
  /** What they are of all texts, where they are a shard. */
  part?: Part;
  settings: CorpusSettings;
  model: string;
  device: DeviceChoice;
  mechanisms: readonly Setting[];
  /** Where the profile is kept from time to time, and what is there already. */
  folder: string;
  signal: AbortSignal;
  onText(text: CorpusText, done: number, of: number): void;
}

/** What two profiles must have in common to be one: said of a run before it begins. */
export function settingsOfRun(
  { name, parameters, fingerprint }: Pick<ModelInfo, 'name' | 'parameters' | 'fingerprint'>,
  {
    device,
    maxTokens,
    propagate,
    mechanisms,
  }: Pick<CorpusSettings, 'device' | 'maxTokens' | 'propagate'> & Pick<ProfileRun, 'mechanisms'>,
): CorpusSettings {
  const keys = mechanisms.map(({ key }) => key);
  return {
    version: VERSION,
    model: name,
    modelSha256: fingerprint?.sha256 ?? null,
    parameters,
    device,
    maxTokens,
    mechanisms: keys,
    propagate,
  };
}

/** Milliseconds after which what was gathered is kept, and how many times longer than that takes. */
const KEPT_EVERY = 30_000;
const TIMES_KEEPING = 20;

const ID = 'corpus';

/** @throws RefusedError where a text is another one than when it was profiled. */
export async function profileTexts(run: ProfileRun): Promise<Corpus> {
  const { files, settings, folder, signal } = run;
  const corpus = (await resume(folder, settings)) ?? new Corpus(settings);
  corpus.parts = run.part ? [run.part] : [];
  const wanted = new Set(files.map(({ file }) => file));
  for (const file of corpus.texts.keys()) {
    if (wanted.has(file)) continue;
    throw new UsageError(
      told`The profile in ${folder} holds a text that is not asked for (${file}): it was made of other paths, of another shard, or with another --root.`,
    );
  }
  let next = Date.now() + KEPT_EVERY;
  let changed = false;
  try {
    for (const [at, file] of files.entries()) {
      await checkpoint(signal);
      const known = corpus.texts.get(file.file);
      if (known) await checkSame(run, known);
      else {
        run.onText(await addText(run, corpus, file), at + 1, files.length);
        changed = true;
      }
      const now = Date.now();
      if (!changed || now < next) continue;
      await keep(folder, corpus);
      const took = Date.now() - now;
      next = Date.now() + Math.max(KEPT_EVERY, TIMES_KEEPING * took);
      changed = false;
    }
  } catch (error) {
    if (changed) await keep(folder, corpus);
    throw error;
  }
  return corpus;
}

async function addText(run: ProfileRun, corpus: Corpus, { file, kind }: CorpusFile): Promise<CorpusText> {
  const { engine, settings, mechanisms, signal } = run;
  let hash = '';
  try {
    const text = await readText(join(run.root, file), file);
    const gathering = new TextGathering(corpus, file, kind, text);
    hash = gathering.hash;
    const { maxTokens, propagate } = settings;
    const params = { id: ID, model: run.model, device: run.device, text, maxTokens, mechanisms, propagate };
    const summary = await engine.analyze(params, signal, {
      forget: true,
      onTokens: async tokens => gathering.onTokens(tokens),
      onQueries: async (info, input, queries) => gathering.onQueries(info, input, queries),
    });
    return gathering.commit(summary);
  } catch (error) {
    if (error instanceof CancelledError) throw error;
    const failed = error instanceof Error ? error.message : String(error);
    const text: CorpusText = { file, kind, tokens: 0, loss: null, failed };
    corpus.texts.set(file, { ...text, hash });
    return text;
  } finally {
    await engine.request('analysis/dispose', { id: ID });
  }
}

/** A text that could not be read then need not be readable now. */
async function checkSame(run: ProfileRun, known: CorpusText & { hash: string }): Promise<void> {
  if (known.hash === '') return;
  const text = await readText(join(run.root, known.file)).catch(() => '');
  if (hashOf(text) === known.hash) return;
  throw new RefusedError(
    told`${known.file} has changed since it was profiled: remove ${run.folder} to start anew.`,
  );
}
