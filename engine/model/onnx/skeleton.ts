import { closeSync, existsSync, openSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { fileSize } from '../../../shared/numbers';
import { RefusedError, told } from '../../errors';
import { takeCensus } from './census';
import { isHollow } from './hollowFile';
import { inlineFunctions } from './inlineFunctions';
import { withoutWeights } from './withoutWeights';
import { WireFile } from './wireFile';
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
    const source = new WireFile(fd, name);
    refuseText(source);
    if (isHollow(file, source.size)) throw hollow(name, 'the file', source.size);
    takeCensus(source);
    const scanned = withoutWeights(source, basename(file));
    const written = decode(scanned, name);
    const moved = followLinks(written, dirname(resolve(onnxFile)), dirname(file));
    const trimmed = dropOmittedInputs(written);
    const bytes = moved || trimmed ? encodeModel(written) : scanned;
    const model = inlineFunctions(written);
    const external = checkTensors(model, dirname(file), name);
    return { file, folder: dirname(file), bytes, model, fileBytes: source.size + external };
  } finally {
    closeSync(fd);
  }
}

// ---------------------------------------------------------------- what is refused

function refuseText(file: WireFile): void {
  const head: number[] = [];
  for (let i = 0; i < Math.min(64, file.size); i++) head.push(file.byte(i));
  const text = String.fromCharCode(...head);
  if (text.startsWith('version https://git-lfs'))
    throw new RefusedError('The .onnx file is a Git LFS pointer: the model itself was not downloaded.');
  if (file.size === 0) throw new RefusedError('The .onnx file is empty.');
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
    const own = basename(onnxFile);
    const source = new WireFile(fd, own);
    takeCensus(source);
    const model = decode(withoutWeights(source, own), own);
    const locations = allTensors(model.graph!).flatMap(t =>
      t.data_location === 1 ? t.external_data.filter(e => e.key === 'location').map(e => e.value) : [],
    );
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
  if (isHollow(real, info.size)) throw hollow(name, `its weight file ${location}`, info.size);
  return info.size;
}

const hollow = (name: string, file: string, bytes: number): RefusedError =>
  new RefusedError(told`${name} is refused: ${file} of ${fileSize(bytes)} holds nothing but zeros.`);
