/** Models that were loaded without ending their process, remembered by their content. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isBundled } from '../bundledFolder';
import { VERSION } from '../version';
import { readSkeleton, weightFiles } from '../model/onnx/skeleton';
import { knownFolder as folder } from '../model/source/hubCache';
import type { ModelFiles } from '../model/source/source';

/** Remembered where the cache cannot be written. */
const here = new Set<string>();

export async function isKnown(files: ModelFiles): Promise<boolean> {
  if (isBundled(files.folder)) return true;
  const look = await lookOf(files);
  if (await has(look)) return true;
  // Moved, copied or touched, it is the same model.
  if (!(await has(await contentOf(files)))) return false;
  await keep(look);
  return true;
}

export async function remember(files: ModelFiles): Promise<void> {
  for (const key of [await lookOf(files), await contentOf(files)]) await keep(key);
}

/** All files that ONNX Runtime reads. */
function filesOf({ onnx, encoder, embedding }: ModelFiles): string[] {
  const graphs = [onnx, encoder, embedding].filter(path => path !== undefined);
  return graphs.flatMap(path => {
    // Refuses what is unsound, so that no weight file is a pipe or lies elsewhere.
    readSkeleton(path);
    return [path, ...weightFiles(path).map(name => join(dirname(path), name))];
  });
}

/** A key that takes no time: where the files are, how large and how old. */
async function lookOf(files: ModelFiles): Promise<string> {
  const looks = filesOf(files).map(async path => {
    const { size, mtimeMs, ctimeMs, ino } = await stat(path);
    return [path, size, mtimeMs, ctimeMs, ino];
  });
  return keyOf(JSON.stringify([await Promise.all(looks), files.config]));
}

async function contentOf(files: ModelFiles): Promise<string> {
  const digests: string[] = [];
  for (const path of filesOf(files)) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
      hash.update(chunk as Buffer);
    digests.push(hash.digest('hex'));
  }
  return keyOf(JSON.stringify([digests, files.config]));
}

/** Another version of the engine may do something else with the same model. */
const keyOf = (text: string): string => createHash('sha256').update(`${VERSION} ${text}`).digest('hex');

async function has(key: string): Promise<boolean> {
  return here.has(key) || (await stat(join(folder(), key)).catch(() => null)) !== null;
}

async function keep(key: string): Promise<void> {
  here.add(key);
  await mkdir(folder(), { recursive: true })
    .then(() => writeFile(join(folder(), key), ''))
    .catch(() => undefined);
}
