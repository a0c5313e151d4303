import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { told } from '../foreign';

/**
 * The file or folder at a path that starts in the first of the folders, links followed.
 * @throws a sentence where there is none, or where it lies in none of the folders.
 */
export async function insideOf(folders: readonly string[], path: string): Promise<string> {
  const [first] = folders;
  if (first === undefined) throw new Error('No folder is open: give the text itself.');
  const real = await realpath(resolve(first, path)).catch(() => null);
  for (const folder of folders) {
    const away = relative(await realpath(folder).catch(() => folder), real ?? resolve(first, path));
    const isInside = !isAbsolute(away) && away !== '..' && !/^\.\.[\\/]/.test(away);
    if (isInside && real !== null) return real;
    if (isInside) throw new Error(told`There is no file ${path}.`);
  }
  throw new Error(told`${path} lies outside of the folder that is served.`);
}
