import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ElementType, type Partially, type TensorProto } from '../../runtime/onnxProto';

const SAMPLE = 1024;
const CHUNK = 1 << 20;
/** How often as many bytes as the weight files hold are read at most. */
const READINGS = 2;

interface Place {
  location: string;
  offset: number;
  length: number;
}

/** Tensors of one kind that lie at one place. */
interface Shared {
  kind: string;
  place: Place;
  tensors: Partially<TensorProto>[];
}

/** Where a tensor's bytes lie, for tensors kept outside the graph. */
export function placeOf(tensor: Partially<TensorProto>): Place | null {
  if (tensor.data_location !== 1) return null;
  const entry = (key: string) => tensor.external_data?.find(e => e.key === key)?.value;
  const length = Number(entry('length') ?? NaN);
  if (!Number.isFinite(length)) return null;
  return { location: entry('location')!, offset: Number(entry('offset') ?? 0), length };
}

/**
 * A key for each tensor that has an equal twin elsewhere in its weight file; exporters write shared weights several
 * times. Only tensors whose samples agree are read in full, each place in a file once; where they overlap so that more would be
 * read than the files hold twice, the rest have none.
 */
export function equalWeights(
  tensors: readonly Partially<TensorProto>[],
  folder: string,
): Map<Partially<TensorProto>, string> {
  const files = new Map<string, number>();
  let left = 0;
  const feed = (hash: Hash, location: string, from: number, to: number) => {
    const path = join(folder, location);
    if (!files.has(path)) {
      files.set(path, openSync(path, 'r'));
      left += READINGS * fstatSync(files.get(path)!).size;
    }
    const buffer = new Uint8Array(Math.min(CHUNK, to - from));
    for (let at = from; at < to;) {
      const read = readSync(files.get(path)!, buffer, 0, Math.min(buffer.length, to - at), at);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      at += read;
    }
  };
  try {
    /** Tensors by their places; a place by what is sampled of it. */
    const places = new Map<string, Shared>();
    for (const tensor of tensors) {
      const place = placeOf(tensor);
      if (!place) continue;
      const { location, offset, length } = place;
      const kind = `${tensor.data_type}|${tensor.dims?.join('x')}|${length}`;
      const at = `${kind}|${offset}|${location}`;
      const known = places.get(at);
      if (known) known.tensors.push(tensor);
      else places.set(at, { kind, place, tensors: [tensor] });
    }
    const groups = new Map<string, Shared[]>();
    for (const shared of places.values()) {
      const { location, offset, length } = shared.place;
      const hash = createHash('sha1');
      for (const start of [0, Math.max(0, (length >> 1) - SAMPLE), Math.max(0, length - SAMPLE)])
        feed(hash, location, offset + start, offset + Math.min(length, start + SAMPLE));
      const key = `${shared.kind}|${hash.digest('hex')}`;
      const group = groups.get(key);
      if (group) group.push(shared);
      else groups.set(key, [shared]);
    }
    const keys = new Map<Partially<TensorProto>, string>();
    for (const [key, group] of groups) {
      if (group.length === 1 && group[0]!.tensors.length === 1) continue;
      for (const { place, tensors } of group) {
        const { location, offset, length } = place;
        // A place that only its own tensors share need not be read.
        const hash = createHash('sha1');
        if (group.length > 1) {
          if ((left -= length) < 0) continue;
          feed(hash, location, offset, offset + length);
        }
        const found = `weights|${key}|${hash.digest('hex')}`;
        for (const tensor of tensors) keys.set(tensor, found);
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
  /** What is found at the sampled places of the tables so far, each read turned. */
  const turned = new Set<string>();
  let count = 0;
  try {
    for (const tensor of tensors) {
      const dims = (tensor.dims ?? []).map(Number);
      const bits = WEIGHT_BITS[tensor.data_type ?? 0];
      if (bits === undefined) continue;
      const size = dims.reduce((product, d) => product * d, 1);
      if (dims.length === 2 && size >= 2 * TWIN_SAMPLES && bits >= 8) {
        const [rows, columns] = dims as [number, number];
        const kind = (...shape: number[]) => `${tensor.data_type}|${shape.join('x')}|`;
        const upright = sampled(tensor, rows, columns, bits / 8, reader, false);
        if (upright !== null && turned.has(kind(rows, columns) + upright)) continue;
        const other = sampled(tensor, columns, rows, bits / 8, reader, true);
        if (other !== null) turned.add(kind(columns, rows) + other);
      }
      count += size * packed(tensor);
    }
  } finally {
    reader.close();
  }
  return count;
}

/**
 * The elements at places all over a table of so many rows and columns, which is stored by its columns where it is read turned;
 * null where they are missing, and for tables of one value (ones, zeros): those are each their own.
 */
function sampled(
  tensor: Partially<TensorProto>,
  rows: number,
  columns: number,
  bytes: number,
  reader: ElementReader,
  isTurned: boolean,
): string | null {
  const seen: string[] = [];
  for (let i = 0; i < TWIN_SAMPLES; i++) {
    const row = (i * 7919 + 13) % rows;
    const column = (i * 104_729 + 5) % columns;
    const found = reader.read(tensor, isTurned ? column * rows + row : row * columns + column, bytes);
    if (found === null) return null;
    seen.push(found);
  }
  return new Set(seen).size > 4 ? seen.join() : null;
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
