/**
 * Models from the hub on this machine: `<root>/<org>--<name>/<commit>/` holds the files as the repository has them,
 * `<root>/<org>--<name>/refs/<revision>.json` what is known of a revision, so that it can be used offline.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat, statfs, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ModelCacheInfo } from '../../../shared/protocol/engine';
import { RefusedError, told } from '../../errors';
import { readPlain } from '../../plainFile';
import { replaceFile } from '../../runtime/replaceFile';

/** A file of a repository, as the hub announces it. */
export interface HubFile {
  path: string;
  size: number;
  sha256: string | null;
  gitSha1: string | null;
}

/** A revision of a repository. */
export interface HubRevision {
  id: string;
  commit: string;
  files: HubFile[];
  /** As the model card names it. */
  licence?: string | null;
}

/** Least recently used models go when all together are larger than this. */
const CACHE_LIMIT = 20 * 2 ** 30;

/** Twenty thousand files, with long paths. */
const REVISION_LIMIT = 32 * 2 ** 20;

/** ATTENTION_INSPECTOR_CACHE, or the system's place for caches. */
export function cacheRoot(): string {
  const { env } = process;
  if (env.ATTENTION_INSPECTOR_CACHE) return env.ATTENTION_INSPECTOR_CACHE;
  const base =
    process.platform === 'win32'
      ? (env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'))
      : process.platform === 'darwin'
        ? join(homedir(), 'Library', 'Caches')
        : (env.XDG_CACHE_HOME ?? join(homedir(), '.cache'));
  return join(base, 'attention-inspector', 'models');
}

function repositoryFolder(id: string): string {
  return join(cacheRoot(), id.replace('/', '--'));
}

export function snapshotFolder({ id, commit }: HubRevision): string {
  return join(repositoryFolder(id), commit);
}

function revisionFile(id: string, revision: string): string {
  return join(repositoryFolder(id), 'refs', `${encodeURIComponent(revision)}.json`);
}

/** What was known of the revision when it was last downloaded, or null. */
export async function rememberedRevision(id: string, revision: string): Promise<HubRevision | null> {
  try {
    const path = revisionFile(id, revision);
    const bytes = await readPlain(path, REVISION_LIMIT);
    const remembered = JSON.parse(String(bytes)) as HubRevision;
    const { commit, files } = remembered;
    const isCommit = typeof commit === 'string' && /^\w+$/.test(commit);
    const isWhole = remembered.id === id && isCommit && files.every(isHubFile);
    return isWhole ? remembered : null;
  } catch {
    return null;
  }
}

/** Whether somebody else names a file by a path and a size. */
export const isHubFile = ({ path, size }: { path: unknown; size: unknown }): boolean =>
  typeof path === 'string' && Number.isSafeInteger(size) && Number(size) >= 0;

export async function rememberRevision(revision: string, known: HubRevision): Promise<void> {
  const path = revisionFile(known.id, revision);
  await mkdir(join(path, '..'), { recursive: true });
  // A name of its own: another window may be writing the same.
  const written = `${path}.${randomUUID()}`;
  await writeFile(written, JSON.stringify(known));
  await replaceFile(written, path);
}

/** Ids of the models in the cache, most recently used first. */
export async function cachedModels(): Promise<{ id: string; bytes: number; used: number; folder: string }[]> {
  const models = [];
  for (const entry of await readdir(cacheRoot(), { withFileTypes: true }).catch(() => [])) {
    const [org, name] = entry.name.split('--');
    if (!entry.isDirectory() || !org || !name) continue;
    const folder = join(cacheRoot(), entry.name);
    const used = (await stat(folder)).mtimeMs;
    models.push({
      id: `${org}/${entry.name.slice(org.length + 2)}`,
      bytes: await bytesOf(folder),
      used,
      folder,
    });
  }
  return models.sort((a, b) => b.used - a.used);
}

export async function cacheInfo(): Promise<ModelCacheInfo> {
  const models = (await cachedModels()).map(({ id, bytes }) => ({ id, bytes }));
  return { folder: cacheRoot(), models };
}

/** Removes all models that were downloaded, and what is remembered of others; nothing else that lies there. */
export async function clearCache(): Promise<void> {
  await removeModels((await cachedModels()).map(({ id }) => id));
  await rm(knownFolder(), { recursive: true, force: true });
}

/** Removes those of the downloaded models that are named. */
export async function removeModels(ids: readonly string[]): Promise<void> {
  for (const { id, folder } of await cachedModels())
    if (ids.includes(id)) await rm(folder, { recursive: true, force: true });
}

/** Marks of the models that were loaded before (service/knownModels.ts). */
export const knownFolder = (): string => join(cacheRoot(), 'known');

/** Marks a model as used now, and removes those used longest ago while the cache is too large. */
export async function touchAndEvict(id: string, limit = CACHE_LIMIT): Promise<string[]> {
  const now = new Date();
  await utimes(repositoryFolder(id), now, now);
  const models = await cachedModels();
  let bytes = models.reduce((sum, model) => sum + model.bytes, 0);
  const removed: string[] = [];
  for (const model of models.reverse()) {
    if (bytes <= limit) break;
    if (model.id === id) continue;
    await rm(model.folder, { recursive: true, force: true });
    bytes -= model.bytes;
    removed.push(model.id);
  }
  return removed;
}

/** Refuses when the disk of the cache has less than `bytes` left, with a little to spare. */
export async function refuseFullDisk(bytes: number, what: string): Promise<void> {
  await mkdir(cacheRoot(), { recursive: true }).catch(error => {
    throw new RefusedError(told`Cannot write to ${cacheRoot()}: ${(error as Error).message}.`);
  });
  const disk = await statfs(cacheRoot());
  const free = disk.bavail * disk.bsize - 64 * 2 ** 20;
  if (bytes <= free) return;
  const mib = (n: number): number => Math.max(0, Math.round(n / 2 ** 20));
  throw new RefusedError(
    told`${what} needs ${mib(bytes)} MiB more on the disk of ${cacheRoot()}, which has ${mib(free)} MiB left.`,
  );
}

async function bytesOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile())
      bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0;
  }
  return bytes;
}
