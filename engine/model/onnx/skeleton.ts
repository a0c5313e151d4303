import { closeSync, existsSync, fstatSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { RefusedError, told } from '../../errors';
import { inlineFunctions } from './inlineFunctions';
import {
  decodeModel,
  encodeModel,
  ElementType,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from '../../runtime/onnxProto';

/**
 * A model without its weights: every large tensor is replaced by a reference (external data) into the original
 * file, so weights are never copied. ONNX Runtime resolves the references against `folder`.
 */
export interface Skeleton {
  /** The .onnx file, resolved. */
  file: string;
  /** Folder of the file; nothing outside it is read. */
  folder: string;
  /** The serialised skeleton. */
  bytes: Uint8Array;
  /** The same, its own functions written out. */
  model: ModelProto;
  /** Size of the file and of the weight files that it names. */
  fileBytes: number;
}

/** Tensors up to this size stay in the skeleton: constants that the cutter wants to read. */
const INLINE_BYTES = 2048;
/** A skeleton is the graph alone; even very large models stay far below. */
const SKELETON_LIMIT = 256 * 2 ** 20;
const NODE_LIMIT = 200_000;
/** Levels of messages; each graph inside a node takes three. */
const DEPTH_LIMIT = 96;

// Field numbers of onnx.proto.
const MODEL = { graph: 7 };
const GRAPH = { node: 1, initializer: 5 };
const NODE = { attribute: 5 };
const ATTRIBUTE = { tensor: 5, graph: 6 };
const TENSOR = { raw: 9 };
const LENGTH_DELIMITED = 2;

/** Reads the graph of an .onnx file without its weights; refuses what is no sound ONNX model with one sentence. */
export function readSkeleton(onnxFile: string): Skeleton {
  const name = basename(onnxFile);
  let file: string;
  try {
    file = realpathSync(onnxFile);
    if (!statSync(file).isFile()) throw new Error('no file');
  } catch {
    throw new RefusedError(told`There is no file ${onnxFile}.`);
  }
  const fd = openSync(file, 'r');
  try {
    const scan = new Scanner(fd, name, basename(file));
    refuseText(scan);
    const scanned = scan.message(0, scan.size, modelRules);
    const written = decode(scanned, name);
    const moved = followLinks(written, dirname(resolve(onnxFile)), dirname(file));
    const trimmed = dropOmittedInputs(written);
    const bytes = moved || trimmed ? encodeModel(written) : scanned;
    const model = inlineFunctions(written);
    const external = checkTensors(model, dirname(file), name);
    return { file, folder: dirname(file), bytes, model, fileBytes: scan.size + external };
  } finally {
    closeSync(fd);
  }
}

// ---------------------------------------------------------------- scanning the wire format

type Rule = 'tensor' | Rules;
interface Rules {
  [field: number]: Rule;
}
const attributeRules: Rules = { [ATTRIBUTE.tensor]: 'tensor' };
const graphRules: Rules = {
  [GRAPH.initializer]: 'tensor',
  [GRAPH.node]: { [NODE.attribute]: attributeRules },
};
attributeRules[ATTRIBUTE.graph] = graphRules;
const modelRules: Rules = { [MODEL.graph]: graphRules };

/** Walks protobuf fields by position, copying the small ones and stepping over the large ones. */
class Scanner {
  readonly size: number;
  private readonly window = new Uint8Array(1 << 16);
  private windowStart = 0;
  private windowEnd = 0;
  private copied = 0;
  private nodes = 0;

  constructor(
    private readonly fd: number,
    private readonly name: string,
    private readonly location: string,
  ) {
    this.size = fstatSync(fd).size;
  }

  /** The message in [from, to), with large raw_data of tensors replaced by references to this file. */
  message(from: number, to: number, rules: Rules, depth = 0): Uint8Array {
    // Before anything is decoded: a decoder calls itself for each level.
    if (depth > DEPTH_LIMIT)
      throw new RefusedError(told`${this.name} is refused: its graphs lie in each other too deeply.`);
    const parts: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const field = this.field(at, to);
      const rule = rules[field.number];
      if (rules === graphRules && field.number === GRAPH.node && ++this.nodes > NODE_LIMIT)
        throw new RefusedError(told`${this.name} is refused: its graph has more than ${NODE_LIMIT} nodes.`);
      if (rule === undefined || field.wire !== LENGTH_DELIMITED) parts.push(this.copy(at, field.end));
      else {
        const inner =
          rule === 'tensor'
            ? this.tensor(field.start, field.end)
            : field.end - field.start <= INLINE_BYTES
              ? this.copy(field.start, field.end)
              : this.message(field.start, field.end, rule, depth + 1);
        parts.push(varint(field.number * 8 + LENGTH_DELIMITED), varint(inner.length), inner);
      }
      at = field.end;
    }
    return Buffer.concat(parts);
  }

  private tensor(from: number, to: number): Uint8Array {
    if (to - from <= INLINE_BYTES) return this.copy(from, to);
    const parts: Uint8Array[] = [];
    // After all other fields: some writers say "in this file" explicitly, and the last word counts.
    const references: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const field = this.field(at, to);
      const large = field.number === TENSOR.raw && field.end - field.start > INLINE_BYTES;
      if (large) references.push(reference(this.location, field.start, field.end - field.start));
      else parts.push(this.copy(at, field.end));
      at = field.end;
    }
    return Buffer.concat([...parts, ...references]);
  }

  /** Number, wire type and payload range of the field at `at`. */
  private field(at: number, to: number): { number: number; wire: number; start: number; end: number } {
    const [tag, start] = this.varint(at, to);
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number === 0) throw this.broken();
    if (wire === 0) return { number, wire, start, end: this.varint(start, to)[1] };
    if (wire === 1 || wire === 5) return this.bounded(number, wire, start, start + (wire === 1 ? 8 : 4), to);
    if (wire !== LENGTH_DELIMITED) throw this.broken();
    const [length, payload] = this.varint(start, to);
    return this.bounded(number, wire, payload, payload + length, to);
  }

  private bounded(number: number, wire: number, start: number, end: number, to: number) {
    if (end > to) throw this.broken();
    return { number, wire, start, end };
  }

  private varint(at: number, to: number): [value: number, next: number] {
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 10; i++) {
      if (at + i >= to) throw this.broken();
      const byte = this.byte(at + i);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return [value, at + i + 1];
      factor *= 128;
    }
    throw this.broken();
  }

  byte(at: number): number {
    if (at < this.windowStart || at >= this.windowEnd) {
      this.windowStart = at;
      this.windowEnd = at + readSync(this.fd, this.window, 0, this.window.length, at);
      if (this.windowEnd === at) throw this.broken();
    }
    return this.window[at - this.windowStart]!;
  }

  private copy(from: number, to: number): Uint8Array {
    const length = to - from;
    this.copied += length;
    if (this.copied > SKELETON_LIMIT)
      throw new RefusedError(
        told`${this.name} is refused: its graph without weights exceeds ${SKELETON_LIMIT / 2 ** 20} MB.`,
      );
    const bytes = new Uint8Array(length);
    if (from >= this.windowStart && to <= this.windowEnd) {
      bytes.set(this.window.subarray(from - this.windowStart, to - this.windowStart));
      return bytes;
    }
    for (let done = 0; done < length;) {
      const read = readSync(this.fd, bytes, done, length - done, from + done);
      if (read === 0) throw this.broken();
      done += read;
    }
    return bytes;
  }

  broken(): RefusedError {
    return new RefusedError(told`${this.name} is no ONNX model, or the file is cut short or damaged.`);
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  bytes.push(value);
  return Uint8Array.from(bytes);
}

function lengthDelimited(field: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([varint(field * 8 + LENGTH_DELIMITED), varint(payload.length), payload]);
}

/** `external_data` (13) entries and `data_location` (14) = EXTERNAL of a TensorProto. */
function reference(location: string, offset: number, length: number): Uint8Array {
  const entries = Object.entries({ location, offset: String(offset), length: String(length) });
  const text = (value: string) => new TextEncoder().encode(value);
  return Buffer.concat([
    ...entries.map(([key, value]) =>
      lengthDelimited(13, Buffer.concat([lengthDelimited(1, text(key)), lengthDelimited(2, text(value))])),
    ),
    Uint8Array.of(14 * 8, 1),
  ]);
}

// ---------------------------------------------------------------- what is refused

function refuseText(scan: Scanner): void {
  const head: number[] = [];
  for (let i = 0; i < Math.min(64, scan.size); i++) head.push(scan.byte(i));
  const text = String.fromCharCode(...head);
  if (text.startsWith('version https://git-lfs'))
    throw new RefusedError('The .onnx file is a Git LFS pointer: the model itself was not downloaded.');
  if (scan.size === 0) throw new RefusedError('The .onnx file is empty.');
  if (/^[\t\n\r -~]+$/.test(text)) throw new RefusedError('The .onnx file is text, no ONNX model.');
}

function decode(bytes: Uint8Array, name: string): ModelProto {
  let model: ModelProto;
  try {
    model = decodeModel(bytes);
  } catch {
    throw new RefusedError(told`${name} is no ONNX model, or the file is cut short or damaged.`);
  }
  if (!model.graph || model.graph.node.length === 0)
    throw new RefusedError(told`${name} holds no ONNX graph.`);
  if (model.opset_import.length === 0 || model.graph.output.length === 0)
    throw new RefusedError(told`${name} is no complete ONNX model: it names no operator set or no output.`);
  if (model.graph.sparse_initializer.length > 0)
    throw new RefusedError(
      told`${name} keeps weights as sparse tensors, which is not supported: save it with dense ones.`,
    );
  if (model.graph.node.length > NODE_LIMIT)
    throw new RefusedError(told`${name} is refused: its graph has more than ${NODE_LIMIT} nodes.`);
  return model;
}

const bitsOf: Record<number, number> = {
  [ElementType.float32]: 32,
  [ElementType.uint8]: 8,
  [ElementType.int8]: 8,
  [ElementType.uint16]: 16,
  [ElementType.int16]: 16,
  [ElementType.int32]: 32,
  [ElementType.int64]: 64,
  [ElementType.bool]: 8,
  [ElementType.float16]: 16,
  [ElementType.float64]: 64,
  [ElementType.uint32]: 32,
  [ElementType.uint64]: 64,
  [ElementType.bfloat16]: 16,
  17: 8,
  18: 8,
  19: 8,
  20: 8,
  21: 4,
  22: 4,
};

/**
 * In the cache of Hugging Face a model is a folder of links to files that lie side by side under other names: weights that
 * stand beside the link are named as they lie beside its target. True when there were such.
 */
function followLinks(model: ModelProto, linked: string, folder: string): boolean {
  if (linked === folder) return false;
  let moved = false;
  for (const tensor of allTensors(model.graph!)) {
    const entry = tensor.data_location === 1 && tensor.external_data.find(e => e.key === 'location');
    if (!entry || escapesFolder(entry.value) || existsSync(join(folder, entry.value))) continue;
    const target = join(linked, entry.value);
    if (!existsSync(target) || dirname(realpathSync(target)) !== folder) continue;
    entry.value = basename(realpathSync(target));
    moved = true;
  }
  return moved;
}

/** Files that hold the weights of an .onnx file, as it names them; only those in or below its folder. */
export function weightFiles(onnxFile: string): string[] {
  const fd = openSync(onnxFile, 'r');
  try {
    const scan = new Scanner(fd, basename(onnxFile), basename(onnxFile));
    const model = decode(scan.message(0, scan.size, modelRules), basename(onnxFile));
    const locations = allTensors(model.graph!).flatMap(t =>
      t.data_location === 1 ? t.external_data.filter(e => e.key === 'location').map(e => e.value) : [],
    );
    const own = basename(onnxFile);
    return [...new Set(locations)].filter(name => name !== own && !escapesFolder(name));
  } finally {
    closeSync(fd);
  }
}

const escapesFolder = (location: string): boolean =>
  location === '' ||
  location.includes('\0') ||
  isAbsolute(location) ||
  /^[a-z]:|^[\\/]/i.test(location) ||
  location.split(/[\\/]/).includes('..');

/**
 * Every tensor must have the size that its dimensions say, and lie inside the model's folder. Gives the bytes of the weight
 * files, each counted once.
 */
function checkTensors(model: ModelProto, folder: string, name: string): number {
  const sizes = new Map<string, number>();
  for (const tensor of allTensors(model.graph!)) {
    let bits = bitsOf[tensor.data_type] ?? 0;
    for (const d of tensor.dims) bits *= Number(d);
    if (!Number.isSafeInteger(bits) || bits < 0)
      throw new RefusedError(told`${name} is refused: the tensor ${tensor.name} has impossible dimensions.`);
    const expected = Math.ceil(bits / 8);
    const found =
      tensor.data_location === 1
        ? externalLength(tensor, folder, name, sizes, expected)
        : tensor.raw_data.length || null;
    if (found !== null && bits > 0 && found !== expected)
      throw new RefusedError(
        told`${name} is refused: the tensor ${tensor.name} has ${found} bytes where its dimensions ask for ${expected}.`,
      );
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * Takes away the empty names at the end of a node's inputs: they say "omitted", as does their absence, and ONNX Runtime ends
 * the process on some of them (LayerNormalization's bias). True when there were any.
 */
function dropOmittedInputs(model: ModelProto): boolean {
  let found = false;
  const trim = (nodes: readonly NodeProto[]): void => {
    for (const node of nodes) {
      const length = node.input.findLastIndex(name => name !== '') + 1;
      if (length < node.input.length) {
        node.input.length = length;
        found = true;
      }
      for (const { g, graphs } of node.attribute as (AttributeProto & { graphs?: GraphProto[] })[])
        for (const graph of [...(g ? [g] : []), ...(graphs ?? [])]) trim(graph.node);
    }
  };
  trim(model.graph!.node);
  for (const { node } of model.functions as { node: NodeProto[] }[]) trim(node);
  return found;
}

/** Initialisers and constants, those in the bodies of If, Loop and Scan included. */
function allTensors(graph: GraphProto): TensorProto[] {
  const attributes = graph.node.flatMap(n => n.attribute);
  return [
    ...graph.initializer,
    ...attributes.flatMap(a => (a.t ? [a.t] : [])),
    ...attributes.flatMap(a => (a.g ? allTensors(a.g) : [])),
  ];
}

function externalLength(
  tensor: TensorProto,
  folder: string,
  name: string,
  sizes: Map<string, number>,
  expected: number,
): number {
  const keys = tensor.external_data.map(e => e.key);
  if (new Set(keys).size < keys.length)
    throw new RefusedError(
      told`${name} is refused: the tensor ${tensor.name} says twice where its weights lie.`,
    );
  const entry = (key: string) => tensor.external_data.find(e => e.key === key)?.value;
  const location = entry('location') ?? '';
  if (!sizes.has(location)) sizes.set(location, externalSize(folder, location, name));
  const offset = Number(entry('offset') ?? 0);
  const length = Number(entry('length') ?? expected);
  const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!sane || offset + length > sizes.get(location)!)
    throw new RefusedError(
      told`${name} is refused: the tensor ${tensor.name} lies outside its weight file ${location}, which may be cut short.`,
    );
  return length;
}

/** Size of a weight file; refuses locations that leave the folder, also through links. */
function externalSize(folder: string, location: string, name: string): number {
  const escapes = new RefusedError(
    told`${name} is refused: its weights point to ${JSON.stringify(location)}, outside the model's folder.`,
  );
  if (escapesFolder(location)) throw escapes;
  let real: string;
  try {
    real = realpathSync(join(folder, location));
  } catch {
    throw new RefusedError(told`${name} is refused: its weight file ${location} is missing.`);
  }
  if (!real.startsWith(folder.endsWith(sep) ? folder : folder + sep)) throw escapes;
  const info = statSync(real);
  if (!info.isFile())
    throw new RefusedError(told`${name} is refused: its weight file ${location} is no file.`);
  return info.size;
}
