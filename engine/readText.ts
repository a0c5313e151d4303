/** The text to analyse, from a file or from standard input. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { RefusedError, told } from './errors';

const SIZE_LIMIT = 256 * 2 ** 20;

/** Reads UTF-8, with or without a byte order mark. `-` is standard input. `name`: as refusals call it. */
export async function readText(file: string, name = file === '-' ? 'Standard input' : file): Promise<string> {
  if (file !== '-') await checkFile(file, name);
  const tooLarge = new RefusedError(told`${name} is larger than ${SIZE_LIMIT / 2 ** 20} MiB.`);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > SIZE_LIMIT) throw tooLarge;
    }
  } catch (error) {
    if (error === tooLarge) throw error;
    throw new RefusedError(told`Cannot read ${name}: ${(error as Error).message}.`);
  }
  return decode(name, Buffer.concat(chunks));
}

async function checkFile(file: string, name: string): Promise<void> {
  const info = await stat(file).catch(() => null);
  if (!info) throw new RefusedError(told`There is no file ${name}.`);
  if (info.isDirectory()) throw new RefusedError(told`${name} is a folder, not a text.`);
}

function decode(name: string, bytes: Buffer): string {
  if (isUtf16(bytes.subarray(0, 8192)))
    throw new RefusedError(told`${name} is UTF-16 text: save it as UTF-8.`);
  if (bytes.subarray(0, 8192).includes(0))
    throw new RefusedError(told`${name} is not a text: it holds binary data.`);
  let text: string;
  try {
    // Drops the byte order mark.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new RefusedError(told`${name} is not UTF-8 text.`);
  }
  if (text.length === 0) throw new RefusedError('The text is empty.');
  return text;
}

/** What Windows tools write: a byte order mark, or every second byte 0. */
function isUtf16(bytes: Buffer): boolean {
  if (/^(fffe|feff)/.test(bytes.toString('hex', 0, 2))) return true;
  const zeros = [0, 0];
  for (const [at, byte] of bytes.entries()) if (byte === 0) zeros[at % 2]!++;
  return Math.max(...zeros) > 0.4 * (bytes.length / 2) && Math.min(...zeros) === 0 && bytes.length >= 8;
}
