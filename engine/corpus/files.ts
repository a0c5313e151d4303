/** The texts of a corpus: files, folders and patterns become one sorted list, the same for every shard. */
import { realpath, stat } from 'node:fs/promises';
import { dirname, extname, isAbsolute, relative, resolve, sep } from 'node:path';
// eslint-disable-next-line @typescript-eslint/no-require-imports -- its ES module asks where its own file lies, which a bundle cannot say
import tinyglobby = require('tinyglobby');
import { RefusedError, told, UsageError } from '../errors';

const { glob } = tinyglobby;

/** A text by its path, relative to the root, with forward slashes. */
export interface CorpusFile {
  file: string;
  /** The file extension; `none`; `other` where the corpus has many. */
  kind: string;
}

/** Kinds that are told apart; the rarest of more are put together. */
const KINDS = 12;

/** What is nobody's text: what tools bring along or make. Hidden files are left out as well. */
const IGNORED = ['**/node_modules/**', '**/__pycache__/**'];

/**
 * The texts with names that do not depend on the folder in which the command is called: from the one folder that holds all
 * that is wanted, or from a given one. So the same text has the same name in every shard, and when a run is gone on with.
 */
export async function findCorpus(
  { cwd, named, without }: { cwd: string; named?: string; without: string },
  wanted: readonly string[],
): Promise<{ root: string; files: CorpusFile[] }> {
  const root = named === undefined ? await commonFolder(cwd, wanted) : resolve(cwd, named);
  const results = resolve(cwd, without);
  const names = (await findTexts(cwd, wanted))
    .map(({ file }) => resolve(cwd, file))
    // What an earlier run has written is no text.
    .filter(path => !isBelow(results, path))
    .map(path => {
      if (!isBelow(root, path))
        throw new UsageError(told`${path} does not lie below ${root}, from which texts are named.`);
      return toPosix(relative(root, path));
    });
  if (names.length === 0) throw noTexts(wanted);
  return { root, files: withKinds(names.sort()) };
}

/** The deepest folder that holds every one of these files and folders, and all that patterns can find. */
async function commonFolder(cwd: string, wanted: readonly string[]): Promise<string> {
  const folders = await Promise.all(wanted.map(one => folderOf(cwd, one)));
  let common = folders[0]!;
  while (!folders.every(folder => isBelow(common, folder))) {
    // Of two disks nothing is common.
    if (common === dirname(common)) return cwd;
    common = dirname(common);
  }
  return common;
}

async function folderOf(cwd: string, one: string): Promise<string> {
  const info = await stat(resolve(cwd, one)).catch(() => null);
  if (!info) return splitPattern(cwd, one).folder;
  return info.isDirectory() ? resolve(cwd, one) : dirname(resolve(cwd, one));
}

/** The folder that a pattern looks into, and what it looks for there. */
function splitPattern(cwd: string, one: string): { folder: string; pattern: string } {
  const steps = one.split('/');
  const found = steps.findIndex(isPattern);
  const first = found < 0 ? steps.length - 1 : found;
  return {
    folder: resolve(cwd, first > 0 ? `${steps.slice(0, first).join('/')}/` : '.'),
    pattern: steps.slice(first).join('/'),
  };
}

const isPattern = (step: string): boolean => /[*?[{(!+@\\]/.test(step);

/** Also the folder itself. */
function isBelow(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

const noTexts = (wanted: readonly string[]) =>
  new RefusedError(told`There are no files at ${wanted.join(', ')}.`);

/** Named from `root`. @throws RefusedError where there is nothing. */
export async function findTexts(root: string, wanted: readonly string[]): Promise<CorpusFile[]> {
  const files = new Set<string>();
  for (const one of wanted) {
    const path = resolve(root, one);
    const info = await stat(path).catch(() => null);
    if (info && !info.isDirectory()) files.add(toPosix(relative(root, path)));
    else for (const found of await matching(root, one, info !== null)) files.add(found);
  }
  if (files.size === 0) throw noTexts(wanted);
  return withKinds(await withoutLinks(root, [...files].sort()));
}

/** Each file once, by its own path where that is among them: links may lead to it again, even around in a circle. */
async function withoutLinks(root: string, files: readonly string[]): Promise<string[]> {
  const base = await realpath(root);
  const names = new Map<string, string>();
  for (const file of files) {
    const path = resolve(base, file);
    const real = await realpath(path).catch(() => path);
    if (!names.has(real) || real === path) names.set(real, file);
  }
  return [...names.values()].sort();
}

async function matching(root: string, one: string, isFolder: boolean): Promise<string[]> {
  // From the folder itself: what lies below the current one is not found through `..`.
  const { folder, pattern } = isFolder
    ? { folder: resolve(root, one), pattern: '**' }
    : splitPattern(root, one);
  const found = await glob(pattern, {
    cwd: folder,
    ignore: IGNORED,
    onlyFiles: true,
    expandDirectories: false,
  });
  return found.map(file => toPosix(relative(root, resolve(folder, file))));
}

function withKinds(files: readonly string[]): CorpusFile[] {
  const extension = (file: string) => extname(file).slice(1).toLowerCase() || 'none';
  const counts = new Map<string, number>();
  for (const file of files) counts.set(extension(file), (counts.get(extension(file)) ?? 0) + 1);
  const kinds = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).map(([kind]) => kind);
  const named = new Set(kinds.length > KINDS ? kinds.slice(0, KINDS - 1) : kinds);
  return files.map(file => ({ file, kind: named.has(extension(file)) ? extension(file) : 'other' }));
}

const toPosix = (path: string): string => (sep === '/' ? path : path.replaceAll(sep, '/'));
