import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { pack } from '../../shared/packed';
import { MOST_PACKED, MOST_UNPACKED, UnreadableError } from '../../shared/saved/analysis';

export async function compressed(value: unknown): Promise<Uint8Array> {
  return promisify(gzip)(pack(value), { level: 4 });
}

/** @throws UnreadableError also for a file that would fill the memory */
export async function uncompressed(bytes: Uint8Array, { most = MOST_UNPACKED } = {}): Promise<ArrayBuffer> {
  if (bytes.length > MOST_PACKED) throw new UnreadableError('It is too large.');
  try {
    const open = await promisify(gunzip)(bytes, { maxOutputLength: most });
    return open.buffer.slice(open.byteOffset, open.byteOffset + open.byteLength) as ArrayBuffer;
  } catch {
    throw new UnreadableError('It is damaged, or no saved analysis.');
  }
}
