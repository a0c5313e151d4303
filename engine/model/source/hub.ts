/** Models of the Hugging Face hub, or of a mirror that speaks its protocol (HF_ENDPOINT). */
import { HubApiError, listFiles, modelInfo } from '@huggingface/hub';
import { copyFile, link, mkdir } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { CancelledError, RefusedError, told } from '../../errors';
import { abortedAfter } from '../../runtime/cancellation';
import { isThere, reason, statusError } from './download';
import { downloadAll, isOffline, missingIn, totalSize, type DownloadWishes } from './downloadAll';
import {
  isHubFile,
  rememberedRevision,
  rememberRevision,
  snapshotFolder,
  touchAndEvict,
  type HubFile,
  type HubRevision,
} from './hubCache';
import { proxiedFetch } from './proxiedFetch';
import { weightFiles } from '../onnx/skeleton';
import { POOLING_FILE } from './config';
import { chooseOnnx, embeddingOf, encoderOf } from './variants';
import { say } from '../../../shared/sentences';

/** `org/name`, `org/name@revision`, `org/name/onnx/model_int8.onnx`, or both. */
export interface HubRef {
  id: string;
  revision: string;
  /** The .onnx file asked for, or null for the best one. */
  file: string | null;
}

export interface HubOptions extends DownloadWishes {
  /** How long a model that is complete in the cache waits for the hub to tell of a newer revision. Default 1 s. */
  patienceMs?: number;
  /** How long the hub may take for all that it tells of a model. Default 2 min. */
  answerMs?: number;
}

const REF =
  /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+))?(?:\/((?:[\w-][\w.-]*\/)?[\w-][\w.-]*\.onnx))?$/;
const ONNX_PATH = /^(onnx\/)?[\w-][\w.-]*\.onnx$/;
/** What is wanted beside the model itself; small, and each only if it is there. */
const COMPANIONS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'vocab.txt',
  'vocab.json',
  'merges.txt',
  'README.md',
];
/** No answer about a model is longer, or takes longer. */
const ANSWER_BYTES = 32 * 2 ** 20;
const ANSWER_MS = 120_000;
const FILES_LIMIT = 20_000;
/** A page of a list holds a thousand files or so. */
const QUESTIONS_LIMIT = 100;
const PATIENCE_MS = 1000;

/** Reads a reference, or null when it is none to the hub. */
export function parseHubRef(ref: string): HubRef | null {
  const [, id, revision, file] = REF.exec(withoutAddress(ref)) ?? [];
  if (id === undefined || (file === undefined && id.endsWith('.onnx'))) return null;
  return { id, revision: revision ?? 'main', file: file ?? null };
}

/** A page of the hub that was pasted: `https://huggingface.co/org/name/tree/main`, `.../blob/main/onnx/model.onnx`. */
function withoutAddress(ref: string): string {
  const [, id, revision, path] =
    /^https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/?#]+\/[^/?#]+)(?:\/(?:tree|blob|resolve)\/([^/?#]+)(?:\/([^?#]+))?)?\/?(?:[?#].*)?$/.exec(
      ref.trim(),
    ) ?? [];
  if (id === undefined) return ref;
  return `${id}${revision === undefined || revision === 'main' ? '' : `@${revision}`}${path?.endsWith('.onnx') ? `/${path}` : ''}`;
}

/**
 * Brings a model here, or finds it in the cache: then the hub is asked only whether there is a newer revision, and a hub
 * that refuses, cannot be reached or does not answer at once changes nothing. Returns the .onnx file and its folder.
 */
export async function fetchModel(
  ref: HubRef,
  options: HubOptions,
): Promise<{ onnx: string; encoder?: string; embedding?: string; folder: string }> {
  const known = await currentRevision(ref, options);
  const onnx = chooseFile(ref, known);
  const folder = snapshotFolder(known);
  const missing = await linkUnchanged(ref, known, await missingFiles(onnx, known));
  if (missing.length > 0) {
    if (isOffline())
      throw new RefusedError(told`${ref.id} is not complete in the cache, and HF_HUB_OFFLINE is set.`);
    await downloadHub(ref, known, missing, options);
  }
  const named = await namedWeights(onnx, known);
  if (named.length > 0) {
    if (isOffline())
      throw new RefusedError(told`${ref.id} is not complete in the cache, and HF_HUB_OFFLINE is set.`);
    await downloadHub(ref, known, named, options);
  }
  await rememberRevision(ref.revision, known);
  await touchAndEvict(ref.id);
  const encoder = encoderFile(onnx, known.files);
  const embedding = embeddingFile(onnx, known.files);
  return {
    onnx: join(folder, onnx.path),
    encoder: encoder && join(folder, encoder.path),
    ...(embedding && { embedding: join(folder, embedding.path) }),
    folder,
  };
}

/**
 * The .onnx files of a repository, each with the bytes it takes with its external data, the best one first; and the licence
 * that the model card names.
 */
export async function listVariants(
  ref: HubRef,
  options: HubOptions,
): Promise<{ variants: { path: string; bytes: number }[]; licence: string | null }> {
  const known = await currentRevision(ref, options);
  const best = chooseOnnx(onnxFiles(known).map(file => file.path));
  const variants = onnxFiles(known)
    .map(file => ({ path: file.path, bytes: totalSize(modelFiles(file, known.files)) }))
    .sort((a, b) => Number(b.path === best) - Number(a.path === best) || (a.path < b.path ? -1 : 1));
  return { variants, licence: known.licence ?? null };
}

/** What of the model and its companions is not in the cache. */
function missingFiles(onnx: HubFile, known: HubRevision): Promise<HubFile[]> {
  const wanted = [...modelFiles(onnx, known.files), ...companions(onnx, known.files)];
  return missingIn(snapshotFolder(known), wanted);
}

/** Weights under names of their own, as the .onnx files that are here name them, which are not. */
async function namedWeights(onnx: HubFile, known: HubRevision): Promise<HubFile[]> {
  const missing: HubFile[] = [];
  for (const model of modelFiles(onnx, known.files).filter(file => file.path.endsWith('.onnx'))) {
    const names = weightNames(join(snapshotFolder(known), model.path));
    const paths = names.map(name => posix.join(dirname(model.path), name));
    const weights = known.files.filter(file => paths.includes(file.path));
    missing.push(...(await missingIn(snapshotFolder(known), weights)));
  }
  return missing;
}

/** A file that is no sound model names none; it is refused when it is loaded. */
function weightNames(onnx: string): string[] {
  try {
    return weightFiles(onnx);
  } catch {
    return [];
  }
}

/** Takes files that have not changed since the remembered revision from there; returns the others. */
async function linkUnchanged(
  ref: HubRef,
  known: HubRevision,
  missing: readonly HubFile[],
): Promise<HubFile[]> {
  const remembered = missing.length > 0 ? await rememberedRevision(ref.id, ref.revision) : null;
  if (!remembered || remembered.commit === known.commit) return [...missing];
  const changed: HubFile[] = [];
  for (const file of missing) {
    const same = remembered.files.some(
      old =>
        old.path === file.path &&
        old.size === file.size &&
        ((file.sha256 !== null && old.sha256 === file.sha256) ||
          (file.gitSha1 !== null && old.gitSha1 === file.gitSha1)),
    );
    const from = join(snapshotFolder(remembered), file.path);
    const to = join(snapshotFolder(known), file.path);
    if (same && (await isThere(from, file.size))) {
      await mkdir(dirname(to), { recursive: true });
      await link(from, to).catch(() => copyFile(from, to));
    } else changed.push(file);
  }
  return changed;
}

async function isComplete(ref: HubRef, known: HubRevision): Promise<boolean> {
  try {
    return (await missingFiles(chooseFile(ref, known), known)).length === 0;
  } catch {
    return false;
  }
}

function chooseFile(ref: HubRef, known: HubRevision): HubFile {
  const files = onnxFiles(known);
  const names = files.map(file => file.path);
  if (files.length === 0) throw new RefusedError(told`${ref.id} has no ONNX files on the hub.`);
  const path = ref.file ?? chooseOnnx(names);
  const found = files.find(file => file.path === path);
  if (found) return found;
  const what = ref.file === null ? 'several ONNX models' : `no ${ref.file}`;
  throw new RefusedError(
    told`${ref.id} has ${what}: give one of ${names.map(name => `${ref.id}/${name}`).join(', ')}.`,
  );
}

function onnxFiles(known: HubRevision): HubFile[] {
  return known.files.filter(file => ONNX_PATH.test(file.path));
}

function encoderFile(onnx: HubFile, files: readonly HubFile[]): HubFile | undefined {
  const paths = files.map(file => file.path);
  const encoder = encoderOf(onnx.path, paths);
  return files.find(file => file.path === encoder);
}

function embeddingFile(onnx: HubFile, files: readonly HubFile[]): HubFile | undefined {
  const path = embeddingOf(
    onnx.path,
    files.map(file => file.path),
  );
  return files.find(file => file.path === path);
}

/** The file, the encoder or the embeddings that belong to a decoder, and their weights. */
function modelFiles(onnx: HubFile, files: readonly HubFile[]): HubFile[] {
  const parts = [onnx, encoderFile(onnx, files), embeddingFile(onnx, files)];
  return parts.flatMap(part => (part ? withExternalData(part, files) : []));
}

/** The file and the weights that stand beside it (`model.onnx_data`, `model.onnx.data`, `model.onnx_data_1`). */
function withExternalData(onnx: HubFile, files: readonly HubFile[]): HubFile[] {
  return files.filter(
    file =>
      file.path === onnx.path ||
      (file.path.startsWith(onnx.path) && /^[._]data(_\d+)?$/.test(file.path.slice(onnx.path.length))),
  );
}

function companions(onnx: HubFile, files: readonly HubFile[]): HubFile[] {
  const folders = new Set(['.', dirname(onnx.path)]);
  return files.filter(
    ({ path }) =>
      path === POOLING_FILE || (COMPANIONS.includes(basename(path)) && folders.has(dirname(path))),
  );
}

const downloadHub = (ref: HubRef, known: HubRevision, files: readonly HubFile[], options: HubOptions) =>
  downloadAll(
    {
      what: ref.id,
      files,
      url: path => `${endpoint()}/${ref.id}/resolve/${known.commit}/${path}`,
      headers: authorization,
      takesToken: true,
    },
    snapshotFolder(known),
    options,
  );

/** The revision as the hub has it now; the remembered one when the hub cannot be reached. */
async function currentRevision(ref: HubRef, options: HubOptions): Promise<HubRevision> {
  const remembered = await rememberedRevision(ref.id, ref.revision);
  if (isOffline()) {
    if (remembered) return remembered;
    throw new RefusedError(told`${ref.id} is not in the cache, and HF_HUB_OFFLINE is set.`);
  }
  options.onProgress(say('asking', host(), ref.id));
  const complete = remembered !== null && (await isComplete(ref, remembered));
  try {
    return await askRevision(ref, options, complete ? (options.patienceMs ?? PATIENCE_MS) : Infinity);
  } catch (error) {
    if (options.signal.aborted) throw error;
    if (remembered && (complete || !(error instanceof RefusedError))) return remembered;
    if (error instanceof RefusedError) throw error;
    if (isOddAnswer(error))
      throw new RefusedError(told`${host()} does not answer as a hub does when asked for ${ref.id}.`);
    throw new RefusedError(
      told`Cannot reach ${host()} (${reason(error)}), and ${ref.id} is not in the cache.`,
    );
  }
}

/** It has answered, but no JSON, or not what was asked for. A request that failed has a cause. */
const isOddAnswer = (error: unknown): boolean =>
  error instanceof SyntaxError || (error instanceof TypeError && error.cause === undefined);

/** Gives up after `patienceMs`. */
async function askRevision(
  ref: HubRef,
  { signal, answerMs = ANSWER_MS }: HubOptions,
  patienceMs: number,
): Promise<HubRevision> {
  const patience = new AbortController();
  const timer = Number.isFinite(patienceMs) ? setTimeout(() => patience.abort(), patienceMs) : undefined;
  const either = AbortSignal.any([signal, patience.signal, abortedAfter(answerMs)]);
  const left = { bytes: ANSWER_BYTES };
  let questions = 0;
  const call = {
    hubUrl: endpoint(),
    fetch: async (url: string | URL | Request, init: RequestInit = {}) => {
      if (++questions > QUESTIONS_LIMIT)
        throw new RefusedError(told`${host()} lists the files of ${ref.id} without an end.`);
      const headers = { ...(init.headers as object), ...authorization(String(url)) };
      const response = await proxiedFetch(url, { ...init, signal: either, headers });
      return bounded(response, left);
    },
  };
  try {
    const info = await modelInfo({
      ...call,
      name: ref.id,
      revision: ref.revision,
      additionalFields: ['sha', 'cardData'],
    });
    const commit = String(info.sha);
    if (!/^[0-9a-f]{7,64}$/.test(commit))
      throw new RefusedError(told`${host()} names no commit for ${ref.id}.`);
    const files: HubFile[] = [];
    let entries = 0;
    for await (const entry of listFiles({ ...call, repo: ref.id, revision: commit, recursive: true })) {
      if (++entries > FILES_LIMIT)
        throw new RefusedError(told`${ref.id} has more than ${FILES_LIMIT} files.`);
      if (entry.type !== 'file') continue;
      if (!isHubFile(entry))
        throw new RefusedError(told`${host()} names a file of ${ref.id} without a path or a size.`);
      files.push({
        path: entry.path,
        size: entry.size,
        sha256: entry.lfs?.oid ?? null,
        gitSha1: entry.lfs ? null : (entry.oid ?? null),
      });
    }
    return { id: ref.id, commit, files, licence: licenceOf(info.cardData) };
  } catch (error) {
    if (signal.aborted) throw new CancelledError();
    if (error instanceof HubApiError && error.statusCode < 500 && error.statusCode !== 429) {
      throw statusError(error.statusCode, host(), `model ${ref.id}`, true);
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The licence in the header of a model card; a card may name several. */
function licenceOf(card: unknown): string | null {
  const { license } = (card ?? {}) as { license?: unknown };
  const names = (Array.isArray(license) ? license : [license]).filter(name => typeof name === 'string');
  return names.length > 0 ? names.join(', ').slice(0, 80) : null;
}

/** An answer of which no more is read than is left, unpacked: it may be compressed, or have no end. */
function bounded(response: Response, left: { bytes: number }): Response {
  if (!response.body) return response;
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      left.bytes -= chunk.length;
      if (left.bytes < 0)
        controller.error(
          new RefusedError(told`${host()} answers with more than ${ANSWER_BYTES / 2 ** 20} MiB.`),
        );
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  const made = new Response(response.body.pipeThrough(count), { status, statusText, headers });
  Object.defineProperty(made, 'url', { value: response.url });
  return made;
}

function endpoint(): string {
  const address = process.env.HF_ENDPOINT || 'https://huggingface.co';
  if (!/^https?:\/\/[^/]/i.test(address) || !URL.canParse(address))
    throw new RefusedError(
      told`The environment variable HF_ENDPOINT is ${JSON.stringify(withoutPassword(address))}: it must be an address that begins with https:// or http://.`,
    );
  const { username, password } = new URL(address);
  if (username || password)
    throw new RefusedError(
      'The environment variable HF_ENDPOINT holds a user name or a password: give the address without them, and a token as HF_TOKEN.',
    );
  return address.replace(/\/+$/, '');
}

/** What stands before an @ may be a secret. */
function withoutPassword(address: string): string {
  return address.replace(/^.*@/s, '…@');
}

function host(): string {
  return new URL(endpoint()).host;
}

/** The token goes to the endpoint alone; `fetch` drops it when redirected to another origin. */
function authorization(url: string): Record<string, string> {
  const token = process.env.HF_TOKEN?.trim();
  if (token && !/^[\x21-\x7e]+$/.test(token))
    throw new RefusedError('The environment variable HF_TOKEN holds characters that no token has.');
  return token && new URL(url).origin === new URL(endpoint()).origin
    ? { authorization: `Bearer ${token}` }
    : {};
}
