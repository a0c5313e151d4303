import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Partially, TensorProto } from '../runtime/onnxProto';

const SAMPLE = 1024;
const CHUNK = 1 << 20;

/** Where a tensor's bytes lie, for tensors kept outside the graph. */
export function placeOf(
  tensor: Partially<TensorProto>,
): { location: string; offset: number; length: number } | null {
  if (tensor.data_location !== 1) return null;
  const entry = (key: string) => tensor.external_data?.find(e => e.key === key)?.value;
  const length = Number(entry('length') ?? NaN);
  if (!Number.isFinite(length)) return null;
  return { location: entry('location')!, offset: Number(entry('offset') ?? 0), length };
}

/**
 * A key for each tensor that has an equal twin elsewhere in its weight file; exporters write shared weights several
 * times. Only tensors whose samples agree are read in full.
 */
export function equalWeights(
  tensors: readonly Partially<TensorProto>[],
  folder: string,
): Map<Partially<TensorProto>, string> {
  const files = new Map<string, number>();
  const feed = (hash: Hash, location: string, from: number, to: number) => {
    const path = join(folder, location);
    if (!files.has(path)) files.set(path, openSync(path, 'r'));
    const buffer = new Uint8Array(Math.min(CHUNK, to - from));
    for (let at = from; at < to;) {
      const read = readSync(files.get(path)!, buffer, 0, Math.min(buffer.length, to - at), at);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      at += read;
    }
  };
  try {
    const groups = new Map<string, Partially<TensorProto>[]>();
    for (const tensor of tensors) {
      const place = placeOf(tensor);
      if (!place) continue;
      const { location, offset, length } = place;
      const hash = createHash('sha1');
      for (const start of [0, Math.max(0, (length >> 1) - SAMPLE), Math.max(0, length - SAMPLE)])
        feed(hash, location, offset + start, offset + Math.min(length, start + SAMPLE));
      const key = `${tensor.data_type}|${tensor.dims?.join('x')}|${length}|${hash.digest('hex')}`;
      groups.set(key, [...(groups.get(key) ?? []), tensor]);
    }
    const keys = new Map<Partially<TensorProto>, string>();
    for (const [key, group] of groups) {
      if (group.length === 1) continue;
      for (const tensor of group) {
        const { location, offset, length } = placeOf(tensor)!;
        const hash = createHash('sha1');
        feed(hash, location, offset, offset + length);
        keys.set(tensor, `weights|${key}|${hash.digest('hex')}`);
      }
    }
    return keys;
  } finally {
    for (const fd of files.values()) closeSync(fd);
  }
}
