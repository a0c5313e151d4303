/** The small files in a model's folder: tokenizer, configuration, declarations, card. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { oneClause, RefusedError, told } from '../../errors';

/**
 * The text of a file of the folder; null when there is no such file.
 * @throws RefusedError for what is larger than `limit`, and for a link that leads out of the folder: what it leads to is none
 * of the model's, and must not show in a message.
 */
export async function readOwn(folder: string, name: string, limit: number): Promise<string | null> {
  const path = join(folder, name);
  const real = await realpath(path).catch(() => null);
  const info = real === null ? null : await stat(real).catch(() => null);
  if (real === null || !info?.isFile()) return null;
  if (!(await isOf(folder, real)))
    throw new RefusedError(told`${path} is refused: it is a link out of the model's folder.`);
  if (info.size > limit)
    throw new RefusedError(
      told`${path} is too large to be read: it has ${Math.round(info.size / 2 ** 20)} MiB, and at most ${limit / 2 ** 20} MiB make sense.`,
    );
  const text = await readFile(real, 'utf8').catch(error => {
    throw new RefusedError(told`Cannot read ${path}: ${oneClause(error)}.`);
  });
  if (name.endsWith('.json') && hasMoreParts(text, MOST_PARTS))
    throw new RefusedError(
      told`${path} is too large to be read: it holds more than ${MOST_PARTS / 1e6} million values.`,
    );
  return text;
}

/** The largest published tokenizers hold three million values. As objects, each takes twenty times its two or three bytes. */
const MOST_PARTS = 8e6;

/** Whether a JSON text has more than so many commas and brackets, those of its strings included. */
function hasMoreParts(text: string, most: number): boolean {
  if (text.length <= most) return false;
  let parts = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code === COMMA || code === BRACKET || code === BRACE) && ++parts > most) return true;
  }
  return false;
}

const [COMMA, BRACKET, BRACE] = [0x2c, 0x5b, 0x7b];

/** In the folder, or among the blobs of the Hugging Face cache of which the folder is a snapshot. */
async function isOf(folder: string, real: string): Promise<boolean> {
  const own = await realpath(folder);
  const cache = /^(.*[\\/])snapshots[\\/][^\\/]+(?:[\\/]onnx)?$/.exec(own)?.[1];
  const places = [own, ...(cache === undefined ? [] : [`${cache}blobs`])];
  return places.some(place => real.startsWith(place.endsWith(sep) ? place : place + sep));
}
