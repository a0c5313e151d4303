/** `corpus/profile`: finds the texts, profiles them (or goes on with what is kept) and gives what views show. */
import type { Notify } from '../service/startAnalysis';
import type { ModelInfo, DeviceChoice } from '../../shared/protocol/engine';
import type { CorpusParams, CorpusProfile } from '../../shared/protocol/corpus';
import { findTexts } from './files';
import { profileTexts, settingsOfRun, type ProfileEngine } from './run';
import { checkProfileFolder, finish } from './store';
import { profileOf } from './views';

interface Profiler extends ProfileEngine {
  readonly notify: Notify;
  request(method: 'analysis/dispose', params: { id: string }): Promise<null>;
  request(
    method: 'models/load',
    params: { ref: string; device: DeviceChoice },
    signal: AbortSignal,
  ): Promise<ModelInfo>;
}

export async function profileFolder(
  engine: Profiler,
  { root, paths, folder, model, device, maxTokens }: CorpusParams,
  signal: AbortSignal,
): Promise<CorpusProfile> {
  const files = await findTexts(root, paths);
  await checkProfileFolder(folder);
  const info = await engine.request('models/load', { ref: model, device }, signal);
  const corpus = await profileTexts({
    engine,
    root,
    files,
    model,
    device,
    mechanisms: [],
    settings: settingsOfRun(info, { device, maxTokens, mechanisms: [], propagate: false }),
    folder,
    signal,
    onText: (text, done, of) => engine.notify('corpus/progress', { folder, done, of, text }),
  });
  await finish(folder, corpus);
  return profileOf(corpus);
}
