/** The texts of a corpus: files, folders and patterns become one sorted list, the same for every shard. */
import { realpath, stat } from 'node:fs/promises';
import { extname, relative, resolve, sep } from 'node:path';
// eslint-disable-next-line @typescript-eslint/no-require-imports -- its ES module asks where its own file lies, which a bundle cannot say
import tinyglobby = require('tinyglobby');
import { RefusedError, told } from '../errors';

const { convertPathToPattern, glob } = tinyglobby;

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

/** @throws RefusedError where there is nothing. */
export async function findTexts(root: string, wanted: readonly string[]): Promise<CorpusFile[]> {
  const files = new Set<string>();
  for (const one of wanted) {
    const path = resolve(root, one);
    const info = await stat(path).catch(() => null);
    if (info && !info.isDirectory()) files.add(toPosix(relative(root, path)));
    else for (const found of await matching(root, one, info !== null)) files.add(found);
  }
  if (files.size === 0) throw new RefusedError(told`There are no files at ${wanted.join(', ')}.`);
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
  const base = isFolder ? toPosix(relative(root, resolve(root, one))) : '';
  const pattern = isFolder ? `${base === '' ? '' : `${convertPathToPattern(base)}/`}**` : one;
  const found = await glob(pattern, {
    cwd: root,
    ignore: IGNORED,
    onlyFiles: true,
    expandDirectories: false,
  });
  return found.map(toPosix);
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

/** Every n-th text from the i-th on (from 1): kinds and lengths come mixed to each shard. */
export function shardOf<T>(texts: readonly T[], { index, of }: { index: number; of: number }): T[] {
  return texts.filter((_, at) => at % of === index - 1);
}
