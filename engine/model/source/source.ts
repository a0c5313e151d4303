/** Where models come from: a reference given by the user becomes the files of one model. */
import { bundledFolder } from '../../bundledFolder';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { RefusedError, refused, told } from '../../errors';
import type { HubModel, Pooling } from '../../../shared/protocol/engine';
import { neverCancelled } from '../../runtime/cancellation';
import { fetchModel, listVariants, parseHubRef, type HubOptions } from './hub';
import { readOwn } from '../tokens/ownFile';
import { readAttention, readConfig, readPooling } from './config';
import { cachedModels, rememberedRevision, snapshotFolder } from './hubCache';
import { fileSize } from '../../../shared/numbers';
import { chooseOnnx, embeddingOf, encoderOf } from './variants';
import { downloadSize, fetchZoo, ZOO, zooFolder, type ZooModel } from './zoo';

/** The files of one model. */
export interface ModelFiles {
  /** What the user gave. */
  ref: string;
  name: string;
  /** The .onnx file, absolute. */
  onnx: string;
  /** Of a model in two files: the encoder's, when `onnx` is the decoder's. */
  encoder?: string;
  /** The table of embeddings beside it, for decoders that were exported without. */
  embedding?: string;
  /** The folder that holds tokenizer and `config.json`, absolute. */
  folder: string;
  /** `config.json`, or {} without one. */
  config: Record<string, unknown>;
  /** `attention.json`, where there is one. */
  attention?: Record<string, unknown>;
  /** How its files say that an embedding is made; absent where they do not. */
  pooling?: Pooling | 'other';
}

/** The bundled model that `bundled` stands for. */
const DEFAULT_BUNDLED = 'prose-2m';
const CONFIG_LIMIT = 4 * 2 ** 20;
const QUIETLY: HubOptions = { signal: neverCancelled, onProgress: () => undefined };
const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'vocab.json'];

/**
 * `bundled`, a bundled model's name (those of papers are `zoo/NAME`), an .onnx file, a folder in the Hugging Face layout, or a hub id `org/name`.
 * An existing path wins over a hub id; a hub model is downloaded unless it is in the cache. Throws RefusedError when there is no such model.
 */
export async function resolveModel(ref: string, options: HubOptions = QUIETLY): Promise<ModelFiles> {
  const bundled = await bundledModels();
  const name = ref === 'bundled' ? (bundled.find(model => model === DEFAULT_BUNDLED) ?? bundled[0]) : ref;
  if (ref === 'bundled' && name === undefined)
    throw new RefusedError('This installation has no bundled model.');
  if (name !== undefined && bundled.includes(name)) return fromFolder(ref, join(bundledFolder(), name));
  const ofPaper = ZOO.find(model => model.name === name);
  if (ofPaper) return fromFolder(ref, await fetchZoo(ofPaper, options));

  const path = resolve(ref);
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return fromFolder(ref, path);
  if (found?.isFile()) return fromFile(ref, path);
  const hubRef = parseHubRef(ref);
  if (hubRef) {
    const files = await fetchModel(hubRef, options);
    const name = hubRef.file === null ? ref : `${hubRef.id} ${basename(files.onnx, '.onnx')}`;
    return {
      ref,
      name,
      ...files,
      config: await readConfig(files.folder),
      ...(await readAttention(files.folder, files.onnx)),
      ...(await readPooling(files.folder)),
    };
  }
  if (extname(ref) === '.onnx') throw refused('noFile', ref);
  const owner = /^[\w.-]+$/.test(ref) ? `, which has its owner before it (owner/${ref})` : '';
  throw new RefusedError(
    told`There is no model "${ref}": it is neither a bundled model (${bundled.join(', ')}), nor an .onnx file, nor a folder, nor a hub id${owner}.`,
  );
}

async function fromFile(ref: string, path: string): Promise<ModelFiles> {
  if (extname(path) !== '.onnx') throw new RefusedError(told`${ref} is not an .onnx file.`);
  const beside = dirname(path);
  // In the usual layout the files are in `onnx/`, the tokenizer one folder up.
  const folder = hasTokenizer(beside) || !hasTokenizer(dirname(beside)) ? beside : dirname(beside);
  const stem = basename(path, '.onnx');
  const name = stem === 'model' ? folderName(folder) : stem;
  const parts = partsBeside(path, await onnxFiles(beside));
  return {
    ref,
    name,
    onnx: path,
    ...parts,
    folder,
    config: await readConfig(folder),
    ...(await readAttention(folder, path)),
    ...(await readPooling(folder)),
  };
}

async function fromFolder(ref: string, folder: string): Promise<ModelFiles> {
  const files = [...(await onnxFiles(folder)), ...(await onnxFiles(join(folder, 'onnx')))];
  const onnx = chooseOnnx(files);
  if (files.length === 0) throw refused('noOnnxInFolder', ref);
  if (onnx === null) {
    const names = files.map(file => basename(file)).join(', ');
    throw refused('severalModels', ref, names);
  }
  const parts = partsBeside(onnx, files);
  return {
    ref,
    name: folderName(folder),
    onnx,
    ...parts,
    folder,
    config: await readConfig(folder),
    ...(await readAttention(folder, onnx)),
    ...(await readPooling(folder)),
  };
}

/** What lies beside a decoder that was exported in parts. */
function partsBeside(onnx: string, files: readonly string[]): { encoder?: string; embedding?: string } {
  const [encoder, embedding] = [encoderOf(onnx, files), embeddingOf(onnx, files)];
  return { ...(encoder !== null && { encoder }), ...(embedding !== null && { embedding }) };
}

async function onnxFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .filter(entry => !entry.isDirectory() && extname(entry.name) === '.onnx')
    .map(entry => join(folder, entry.name))
    .sort();
}

export function hasTokenizer(folder: string): boolean {
  return TOKENIZER_FILES.some(file => existsSync(join(folder, file)));
}

function folderName(folder: string): string {
  return basename(folder) === 'onnx' ? basename(dirname(folder)) : basename(folder);
}

// ---------------------------------------------------------------- lists

/** Names of the bundled models: the folders of ours that hold one. */
export async function bundledModels(): Promise<string[]> {
  const entries = await readdir(bundledFolder(), { withFileTypes: true }).catch(() => []);
  return entries
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)
    .filter(name => existsSync(join(bundledFolder(), name, 'config.json')))
    .sort();
}

/** Bundled models, those of papers, those found in the given folders, and those of the hub that are in the cache. */
export async function listModels(folders: readonly string[]): Promise<HubModel[]> {
  const models: HubModel[] = [];
  const seen = new Set<string>();
  const listOwn = async (name: string, source: 'bundled' | 'papers') => {
    const files = await resolveModel(name);
    seen.add(files.onnx);
    models.push(await describe(files, name, source));
  };
  for (const name of await bundledModels()) await listOwn(name, 'bundled');
  for (const model of ZOO) {
    if ((await zooFolder(model)) !== null) await listOwn(model.name, 'papers');
    else models.push(toDownload(model));
  }
  const search = { entries: 20_000, models: 100 };
  for (const folder of folders) {
    for (const ref of await findModels(resolve(folder), 0, search)) {
      const files = await resolveModel(ref).catch(() => null);
      if (!files || seen.has(files.onnx)) continue;
      seen.add(files.onnx);
      models.push(await describe(files, ref, 'workspace'));
    }
  }
  for (const { id, bytes } of await cachedModels()) {
    if (ZOO.some(({ name }) => name === id)) continue;
    const detail = [`${fileSize(bytes)} downloaded`, ...(await factsOfCached(id))].join(', ');
    models.push({ ref: id, label: id, detail, source: 'hub' });
  }
  return models;
}

/** The variants of a hub model with their sizes, the one that would be taken first. */
export async function listHubVariants(ref: string, options: HubOptions = QUIETLY): Promise<HubModel[]> {
  const hubRef = parseHubRef(ref);
  if (!hubRef) throw refused('noHubId', ref);
  const { variants, licence } = await listVariants(hubRef, options);
  if (variants.length === 0) throw refused('noHubOnnx', hubRef.id);
  const revision = hubRef.revision === 'main' ? '' : `@${hubRef.revision}`;
  return variants.map(({ path, bytes }) => ({
    ref: `${hubRef.id}${revision}/${path}`,
    label: path,
    detail: [fileSize(bytes), ...(licence === null ? [] : [`licence ${licence}`])].join(', '),
    source: 'hub',
  }));
}

const SEARCH_DEPTH = 5;
const SKIPPED = new Set(['node_modules', '__pycache__', 'site-packages', 'venv']);

/** Models below a folder: a folder with `config.json` and .onnx files is one, any other .onnx file is one. */
async function findModels(
  folder: string,
  depth: number,
  left: { entries: number; models: number },
): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  left.entries -= entries.length;
  if (left.entries < 0 || left.models <= 0) return [];
  const files = entries.filter(entry => entry.isFile()).map(entry => entry.name);
  const folders = entries.filter(entry => entry.isDirectory()).map(entry => entry.name);

  if (files.includes('config.json')) {
    const onnx = [...(await onnxFiles(folder)), ...(await onnxFiles(join(folder, 'onnx')))];
    if (chooseOnnx(onnx) !== null) {
      left.models--;
      return [folder];
    }
  }
  const found = files.filter(name => extname(name) === '.onnx').map(name => join(folder, name));
  left.models -= found.length;
  if (depth < SEARCH_DEPTH) {
    for (const name of folders.sort()) {
      if (name.startsWith('.') || SKIPPED.has(name)) continue;
      found.push(...(await findModels(join(folder, name), depth + 1, left)));
    }
  }
  return found;
}

async function describe(files: ModelFiles, ref: string, source: HubModel['source']): Promise<HubModel> {
  const detail = [await size(files), ...facts(files.config), ...(await licence(files))].join(', ');
  const { title } = files.config;
  const isTitled = source === 'papers' && typeof title === 'string';
  return { ref, label: isTitled ? labelOfPaper(title, ref) : files.name, detail, source };
}

function toDownload(model: ZooModel): HubModel {
  const { name: ref, title } = model;
  const download = downloadSize(model);
  const detail = `download, ${fileSize(download)}`;
  return { ref, label: labelOfPaper(title, ref), detail, source: 'papers', download };
}

/** A model of a paper goes by the paper's name. */
const labelOfPaper = (title: string, ref: string): string => `${title} (${ref})`;

/** What the files of a model in the cache tell of it. */
async function factsOfCached(id: string): Promise<string[]> {
  const known = await rememberedRevision(id, 'main');
  if (!known) return [];
  const folder = snapshotFolder(known);
  return [...facts(await readConfig(folder).catch(() => ({}))), ...(await licence({ folder }))];
}

/** The licence that the model card names. */
async function licence({ folder }: Pick<ModelFiles, 'folder'>): Promise<string[]> {
  const card = (await readOwn(folder, 'README.md', CONFIG_LIMIT).catch(() => null)) ?? '';
  const [, header = ''] = /^---\r?\n([^]{0,10000}?)\r?\n---/.exec(card) ?? [];
  const [, name] = /^license:\s*["']?([\w.-]+)/m.exec(header) ?? [];
  return name === undefined ? [] : [`licence ${name}`];
}

/** Size of the weights: the file itself and external data named after it. */
async function size({ onnx }: ModelFiles): Promise<string> {
  const folder = dirname(onnx);
  let bytes = 0;
  for (const name of await readdir(folder)) {
    if (name.startsWith(basename(onnx)))
      bytes += (await stat(join(folder, name)).catch(() => null))?.size ?? 0;
  }
  return fileSize(bytes);
}

/** What `config.json` tells, under the names that the model families use. */
function facts(config: Record<string, unknown>): string[] {
  const first = (...keys: string[]): number | undefined =>
    keys.map(key => config[key]).find((value): value is number => typeof value === 'number');
  const layers = first('num_hidden_layers', 'n_layer', 'num_layers', 'n_layers', 'encoder_layers');
  const heads = first('num_attention_heads', 'n_head', 'num_heads', 'n_heads', 'encoder_attention_heads');
  const context = first('max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len', 'seq_length');
  const said: string[] = [];
  if (typeof config.model_type === 'string') said.push(config.model_type);
  if (layers !== undefined) said.push(`${layers} layers`);
  if (heads !== undefined) said.push(`${heads} heads`);
  if (context !== undefined) said.push(`context ${context}`);
  return said;
}
