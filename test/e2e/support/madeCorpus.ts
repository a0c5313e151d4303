import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../../engine/engine';
import type { CorpusProfile } from '../../../shared/protocol/corpus';
import { changingModel, changingText, writePlanted } from '../../fixtures/plantedModels';

/**
 * The profile that the engine makes of a planted model in a folder: `texts` of two kinds with a file that is none, `model`
 * and `profile`.
 */
export async function madeCorpus(folder: string): Promise<CorpusProfile> {
  const engine = new Engine();
  try {
    const texts = join(folder, 'texts');
    mkdirSync(texts);
    writePlanted(join(folder, 'model'), changingModel('partner'));
    writeFileSync(join(texts, 'broken.plain'), '');
    for (let t = 0; t < 4; t++) {
      writeFileSync(join(texts, `${t}.plain`), changingText(60 + 5 * t, 0));
      writeFileSync(join(texts, `${t} #.words`), changingText(84 + t, 32 - t));
    }
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    return await engine.request('corpus/profile', {
      root: texts,
      paths: ['.'],
      folder: join(folder, 'profile'),
      model: join(folder, 'model'),
      device: 'cpu',
      maxTokens: 512,
    });
  } finally {
    await engine.dispose();
  }
}
