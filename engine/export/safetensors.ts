/**
 * The safetensors format: 8 bytes of header length, a JSON header `{ name: { dtype, shape, data_offsets } }`, the data,
 * all little-endian. Files are read tensor by tensor and written in any order, so neither needs the whole in memory.
 */
import { open, statfs, type FileHandle } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { RefusedError, told } from '../errors';
import type { Tensor } from '../runtime/tensor';
import { openOutput, outputError, type OutputFile } from './outputFile';

const ITEM_BYTES: Record<string, number> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
};

const HEADER_LIMIT = 16 * 2 ** 20;
const CHUNK = 64 * 2 ** 20;

export interface TensorEntry {
  dtype: string;
  dims: readonly number[];
  /** Bytes of the data, counted from the end of the header. */
  begin: number;
  end: number;
}

/** An open file: its table of contents, and tensors read on demand. */
export interface SafetensorsFile {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  read(name: string): Promise<Tensor>;
  close(): Promise<void>;
}

/** Opens and validates. Throws RefusedError when the file is missing, truncated or not safetensors. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new RefusedError(
      error.code === 'ENOENT' ? `${path} does not exist.` : `Cannot read ${path}: ${error.message}`,
    );
  });
  try {
    const { entries, metadata, dataStart } = await readHeader(path, handle);
    return {
      entries,
      metadata,
      read: name => readTensor(path, handle, dataStart, name, entries.get(name)),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** All tensors of a file. Refuses files larger than `limitBytes` (default: half the machine's memory). */
export async function readSafetensors(
  path: string,
  limitBytes = totalmem() / 2,
): Promise<Record<string, Tensor>> {
  const file = await openSafetensors(path);
  try {
    let bytes = 0;
    for (const entry of file.entries.values()) bytes += entry.end - entry.begin;
    if (bytes > limitBytes) {
      throw new RefusedError(
        told`${path} holds ${Math.ceil(bytes / 2 ** 20)} MiB of tensors; at most ${Math.floor(limitBytes / 2 ** 20)} MiB can be read here.`,
      );
    }
    const tensors: Record<string, Tensor> = {};
    for (const name of file.entries.keys()) tensors[name] = await file.read(name);
    return tensors;
  } finally {
    await file.close();
  }
}

async function readHeader(path: string, handle: FileHandle) {
  const refuse = (why: string) => new RefusedError(told`${path} is not a valid safetensors file: ${why}.`);
  const info = await handle.stat();
  if (!info.isFile()) throw refuse('it is not a file');
  if (info.size < 10) throw refuse('it is too short');
  const head = Buffer.alloc(8);
  await handle.read(head, 0, 8, 0);
  const length = head.readBigUInt64LE();
  if (length > BigInt(HEADER_LIMIT)) throw refuse(`its header claims ${length} bytes`);
  const headerBytes = Number(length);
  if (8 + headerBytes > info.size) throw refuse('it is truncated inside its header');
  const text = Buffer.alloc(headerBytes);
  await handle.read(text, 0, headerBytes, 8);

  let header: unknown;
  try {
    header = JSON.parse(text.toString('utf8'));
  } catch {
    throw refuse('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw refuse('its header is not an object');
  }

  const dataStart = 8 + headerBytes;
  const dataBytes = info.size - dataStart;
  const entries = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = value as Record<string, string>;
    else entries.set(name, checkEntry(name, value, refuse));
  }
  // The data must be covered without holes or overlaps, as the format demands.
  let at = 0;
  for (const [name, entry] of [...entries].sort((a, b) => a[1].begin - b[1].begin || a[1].end - b[1].end)) {
    if (entry.begin !== at) throw refuse(`tensor "${name}" does not start where the one before it ends`);
    at = entry.end;
    if (at > dataBytes) throw refuse(`it is truncated: tensor "${name}" reaches beyond its end`);
  }
  if (at !== dataBytes) throw refuse(`${dataBytes - at} bytes belong to no tensor`);
  return { entries, metadata, dataStart };
}

function checkEntry(name: string, value: unknown, refuse: (why: string) => Error): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
  if (typeof dtype !== 'string') throw refuse(`tensor "${name}" has no dtype`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw refuse(`tensor "${name}" has no proper shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw refuse(`tensor "${name}" has no proper data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const itemBytes = ITEM_BYTES[dtype];
  if (end < begin) throw refuse(`tensor "${name}" ends before it begins`);
  if (itemBytes !== undefined && count(shape) * itemBytes !== end - begin) {
    throw refuse(`the shape of tensor "${name}" does not match its size`);
  }
  return { dtype, dims: shape, begin, end };
}

async function readTensor(
  path: string,
  handle: FileHandle,
  dataStart: number,
  name: string,
  entry: TensorEntry | undefined,
): Promise<Tensor> {
  if (!entry) throw new RefusedError(told`${path} has no tensor "${name}".`);
  const buffer = new ArrayBuffer(entry.end - entry.begin);
  for (let at = 0; at < buffer.byteLength;) {
    const view = new Uint8Array(buffer, at, Math.min(CHUNK, buffer.byteLength - at));
    const { bytesRead } = await handle.read(view, 0, view.length, dataStart + entry.begin + at);
    if (bytesRead === 0) throw new RefusedError(told`${path} became shorter while it was read.`);
    at += bytesRead;
  }
  const { dims } = entry;
  switch (entry.dtype) {
    case 'F32':
      return { type: 'float32', data: new Float32Array(buffer), dims };
    case 'F64':
      return { type: 'float64', data: new Float64Array(buffer), dims };
    case 'F16':
      return { type: 'float16', data: new Uint16Array(buffer), dims };
    case 'BF16': {
      // bfloat16 is the upper half of a float32, so widening is exact.
      const bits = Uint32Array.from(new Uint16Array(buffer), x => x << 16);
      return { type: 'float32', data: new Float32Array(bits.buffer), dims };
    }
    case 'I64':
      return { type: 'int64', data: new BigInt64Array(buffer), dims };
    case 'I32':
      return { type: 'int32', data: new Int32Array(buffer), dims };
    case 'I16':
      return { type: 'int32', data: Int32Array.from(new Int16Array(buffer)), dims };
    case 'U16':
      return { type: 'int32', data: Int32Array.from(new Uint16Array(buffer)), dims };
    case 'I8':
      return { type: 'int8', data: new Int8Array(buffer), dims };
    case 'U8':
      return { type: 'uint8', data: new Uint8Array(buffer), dims };
    case 'BOOL':
      return { type: 'bool', data: new Uint8Array(buffer), dims };
    default:
      throw new RefusedError(
        told`Tensor "${name}" of ${path} has the type ${entry.dtype}, which is not supported.`,
      );
  }
}

// ---------------------------------------------------------------- writing

const DTYPE: Record<Tensor['type'], string> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  int64: 'I64',
  int32: 'I32',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
};

export interface TensorLayout {
  type: Tensor['type'];
  dims: readonly number[];
}

interface Place extends TensorLayout {
  /** Byte in the file. */
  position: number;
  itemBytes: number;
  missing: number;
}

/** What one tensor takes of the header, at most (names are short). */
const HEADER_SHARE = 256;

/**
 * Writes tensors one after another as they become known, each in pieces of any order, without holding any.
 * The file appears under its name in `finish`, when every element has been written, or never.
 */
export class SafetensorsWriter {
  private readonly places = new Map<string, Place>();
  private end: number;

  private constructor(
    private readonly path: string,
    private readonly output: OutputFile,
    private readonly dataStart: number,
  ) {
    this.end = dataStart;
  }

  /** `tensors`: how many there will be at most, `metadata`: bytes that it will take; the header is written last, into room kept for it. */
  static async create(path: string, tensors: number, metadata = 0): Promise<SafetensorsWriter> {
    const room = HEADER_SHARE * (tensors + 1 + Math.ceil(metadata / HEADER_SHARE));
    return new SafetensorsWriter(path, await openOutput(path), room);
  }

  /** Declares the next tensor. Widest items first keeps every tensor aligned to its items. */
  async add(name: string, { type, dims }: TensorLayout): Promise<void> {
    const itemBytes = ITEM_BYTES[DTYPE[type]]!;
    const missing = count(dims);
    await this.orAbort(() => checkDiskSpace(this.path, missing * itemBytes));
    this.places.set(name, { type, dims, position: this.end, itemBytes, missing });
    this.end += missing * itemBytes;
  }

  /** Writes elements of a tensor from element `from` on. Each element must be written once. */
  async write(name: string, data: Tensor['data'], from = 0): Promise<void> {
    const place = this.places.get(name);
    if (!place) throw new Error(`"${name}" was not declared`);
    if (data.BYTES_PER_ELEMENT !== place.itemBytes || from + data.length > count(place.dims)) {
      throw new Error(`data of "${name}" does not fit its layout`);
    }
    place.missing -= data.length;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    await this.orAbort(() => this.writeBytes(bytes, place.position + from * place.itemBytes));
  }

  /** `metadata`: texts by their names, in the header. */
  async finish(metadata: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.orAbort(async () => {
      const header: Record<string, object> = {};
      if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
      for (const [name, { type, dims, position, itemBytes, missing }] of this.places) {
        if (missing !== 0)
          throw new Error(`tensor "${name}" is incomplete: ${missing} elements were not written`);
        const begin = position - this.dataStart;
        header[name] = {
          dtype: DTYPE[type],
          shape: dims,
          data_offsets: [begin, begin + count(dims) * itemBytes],
        };
      }
      const json = Buffer.from(JSON.stringify(header));
      if (8 + json.length > this.dataStart) throw new Error('the header has outgrown its room');
      const head = Buffer.alloc(this.dataStart, ' ');
      head.writeBigUInt64LE(BigInt(this.dataStart - 8));
      json.copy(head, 8);
      await this.writeBytes(head, 0);
    });
    await this.output.commit();
  }

  abort(): Promise<void> {
    return this.output.abort();
  }

  private async orAbort(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.output.abort();
      throw error;
    }
  }

  private async writeBytes(bytes: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + CHUNK);
      const { bytesWritten } = await this.output.handle
        .write(piece, 0, piece.length, position + at)
        .catch(error => {
          throw outputError(this.path, error);
        });
      at += bytesWritten;
    }
  }
}

/** Writes tensors that are in memory. */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const width = ({ type }: Tensor): number => ITEM_BYTES[DTYPE[type]]!;
  const order = Object.entries(tensors).sort((a, b) => width(b[1]) - width(a[1]));
  const room = Buffer.byteLength(JSON.stringify(metadata));
  const writer = await SafetensorsWriter.create(path, order.length, room);
  for (const [name, tensor] of order) {
    await writer.add(name, tensor);
    await writer.write(name, tensor.data);
  }
  await writer.finish(metadata);
}

async function checkDiskSpace(path: string, bytes: number): Promise<void> {
  const disk = await statfs(dirname(resolve(path))).catch(() => null);
  if (!disk || disk.bavail * disk.bsize >= bytes) return;
  throw new Error(
    `Cannot write ${path}: it needs ${Math.ceil(bytes / 2 ** 20)} MiB and the disk has ${Math.floor((disk.bavail * disk.bsize) / 2 ** 20)} MiB left.`,
  );
}

function count(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}
