/** Files that may be anybody's, read within bounds. */
import { readFile, stat } from 'node:fs/promises';
import { RefusedError, told } from './errors';

const MIB = 2 ** 20;

/**
 * The bytes of a plain file; null where there is no file.
 * @throws RefusedError for a pipe, which would be waited for, a device, which has no end, and what is larger than `limit`
 */
export async function readPlain(path: string, limit: number): Promise<Buffer | null> {
  const info = await stat(path).catch(() => null);
  if (info === null) return null;
  if (!info.isFile()) throw new RefusedError(told`${path} is no file.`);
  if (info.size > limit)
    throw new RefusedError(
      told`${path} is too large to be read: it has ${Math.round(info.size / MIB)} MiB, and at most ${limit / MIB} MiB make sense.`,
    );
  return readFile(path);
}
