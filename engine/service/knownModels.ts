/** Models that were loaded without ending their process, remembered by their content. */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isBundled } from '../bundledFolder';
import { hashOf, hashOfFile } from '../hash';
import { VERSION } from '../version';
import { graphFiles, lookOf } from '../model/onnx/graphFiles';
import { knownFolder as folder } from '../model/source/hubCache';
import type { ModelFiles } from '../model/source/source';

/** Remembered where the cache cannot be written. */
const here = new Set<string>();

export async function isKnown(files: ModelFiles): Promise<boolean> {
  if (isBundled(files.folder)) return true;
  const look = looksOf(files);
  if (await has(look)) return true;
  // Moved, copied or touched, it is the same model.
  if (!(await has(await contentOf(files)))) return false;
  await keep(look);
  return true;
}

export async function remember(files: ModelFiles): Promise<void> {
  for (const key of [looksOf(files), await contentOf(files)]) await keep(key);
}

/** What else decides how a model is loaded. */
const saidOf = ({ config, attention }: ModelFiles) => [config, attention ?? null];

/** A key that takes no time: where the files are, how large and how old. */
const looksOf = (files: ModelFiles): string =>
  keyOf(JSON.stringify([lookOf(graphFiles(files)), saidOf(files)]));

async function contentOf(files: ModelFiles): Promise<string> {
  const digests: string[] = [];
  for (const path of graphFiles(files)) digests.push(await hashOfFile(path));
  return keyOf(JSON.stringify([digests, saidOf(files)]));
}

/** Another version of the engine may do something else with the same model. */
const keyOf = (text: string): string => hashOf(`${VERSION} ${text}`);

async function has(key: string): Promise<boolean> {
  return here.has(key) || (await stat(join(folder(), key)).catch(() => null)) !== null;
}

async function keep(key: string): Promise<void> {
  here.add(key);
  await mkdir(folder(), { recursive: true })
    .then(() => writeFile(join(folder(), key), ''))
    .catch(() => undefined);
}
