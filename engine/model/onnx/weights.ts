import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ElementType, type Partially, type TensorProto } from '../../runtime/onnxProto';

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

/** Types of tensors that are trained: floating point, and what it was quantised to; not indices and masks. */
const WEIGHT_BITS: Partial<Record<number, number>> = {
  [ElementType.float32]: 32,
  [ElementType.float64]: 64,
  [ElementType.float16]: 16,
  [ElementType.bfloat16]: 16,
  [ElementType.int8]: 8,
  [ElementType.uint8]: 8,
  [ElementType.uint4]: 4,
  [ElementType.int4]: 4,
};
const TWIN_SAMPLES = 64;

/**
 * Numbers in the weights, each counted once: a table that is stored a second time, turned (tied embeddings), counts as one.
 * `packed`: how many numbers stand in one element of a tensor (4-bit weights: two in a byte).
 */
export function countParameters(
  tensors: Iterable<Partially<TensorProto>>,
  folder: string,
  packed: (tensor: Partially<TensorProto>) => number = () => 1,
): number {
  const reader = new ElementReader(folder);
  const tables = new Map<string, Partially<TensorProto>[]>();
  let count = 0;
  try {
    for (const tensor of tensors) {
      const dims = (tensor.dims ?? []).map(Number);
      const bits = WEIGHT_BITS[tensor.data_type ?? 0];
      if (bits === undefined) continue;
      const size = dims.reduce((product, d) => product * d, 1);
      if (dims.length === 2 && size >= 2 * TWIN_SAMPLES && bits >= 8) {
        const turned = `${tensor.data_type}|${dims[1]}x${dims[0]}`;
        const twin = tables.get(turned)?.some(other => isTurned(tensor, other, bits / 8, reader));
        if (twin) continue;
        const key = `${tensor.data_type}|${dims[0]}x${dims[1]}`;
        tables.set(key, [...(tables.get(key) ?? []), tensor]);
      }
      count += size * packed(tensor);
    }
  } finally {
    reader.close();
  }
  return count;
}

/** True when elements all over the two tables agree, one of them read by columns. */
function isTurned(
  a: Partially<TensorProto>,
  b: Partially<TensorProto>,
  bytes: number,
  reader: ElementReader,
): boolean {
  const [rows, columns] = a.dims!.map(Number) as [number, number];
  const seen = new Set<string>();
  for (let i = 0; i < TWIN_SAMPLES; i++) {
    const row = (i * 7919 + 13) % rows;
    const column = (i * 104_729 + 5) % columns;
    const left = reader.read(a, row * columns + column, bytes);
    const right = reader.read(b, column * rows + row, bytes);
    if (left === null || left !== right) return false;
    seen.add(left);
  }
  // Tables of one value (ones, zeros) are each their own.
  return seen.size > 4;
}

/** Single elements of tensors, as hexadecimal text. */
class ElementReader {
  private readonly files = new Map<string, number>();

  constructor(private readonly folder: string) {}

  read(tensor: Partially<TensorProto>, index: number, bytes: number): string | null {
    const place = placeOf(tensor);
    if (!place) {
      const raw = tensor.raw_data;
      return raw && raw.length >= (index + 1) * bytes
        ? Buffer.from(raw.subarray(index * bytes, (index + 1) * bytes)).toString('hex')
        : null;
    }
    const path = join(this.folder, place.location);
    if (!this.files.has(path)) this.files.set(path, openSync(path, 'r'));
    const buffer = Buffer.alloc(bytes);
    const read = readSync(this.files.get(path)!, buffer, 0, bytes, place.offset + index * bytes);
    return read === bytes ? buffer.toString('hex') : null;
  }

  close(): void {
    for (const fd of this.files.values()) closeSync(fd);
  }
}
