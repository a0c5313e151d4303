/** Damaged files of saved analyses: each is refused with a sentence, or whole. */
import { gzipSync } from 'node:zlib';
import { Engine } from '../../engine/engine';
import { uncompressed } from '../../extension/analysis/savedBytes';
import { pack } from '../../shared/packed';
import { NO_SELECTION } from '../../shared/protocol/host';
import {
  FORMAT,
  MOST_JSON,
  readSavedFile,
  UnreadableError,
  VERSION,
  type SavedFile,
} from '../../shared/saved/analysis';
import { attackJson, changeJson } from './json';
import { isOneSentence } from './message';
import { mutate } from './mutate';
import { below, oneOf, seeded, type Random } from './random';

const TEXT = 'the cat sat on the mat and then it left one two three';

/** A file as the editor saves it, of the model in `folder`. */
export async function savedFile(folder: string): Promise<SavedFile> {
  const engine = new Engine();
  const id = 'saved';
  await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 1024 });
  const mechanisms = [{ name: 'local', params: { window: 4 } }];
  const summary = await engine.analyze({
    ...{ id, model: folder, text: TEXT, device: 'cpu', maxTokens: 32, mechanisms, propagate: true },
  });
  const what = { id, document: 'a.txt', text: TEXT, summary, plan: null, intervention: null };
  const details = await engine.request('analysis/details', what);
  await engine.request('shutdown', {});
  return {
    format: FORMAT,
    version: VERSION,
    document: { uri: 'file:///a.txt', name: 'a.txt', length: TEXT.length, selectionStart: null },
    ...{ text: TEXT, targetUri: null, summary, details, plan: null, searching: null },
    interventions: { list: [], result: null },
    selection: NO_SELECTION,
    given: false,
  };
}

/** Tries damaged copies of the file; gives what went wrong, by seed. */
export async function fuzzSaved(whole: SavedFile, seeds: readonly number[]): Promise<string[]> {
  const failures: string[] = [];
  for (const seed of seeds) {
    const wrong = await tryRead(damagedFile(whole, seeded(seed)));
    if (wrong !== null) failures.push(`saved ${seed}: ${wrong}`);
  }
  return failures;
}

/** Null when the file is read, or refused with a sentence. What is read must be whole: it is read again as it was. */
export async function tryRead(file: Uint8Array): Promise<string | null> {
  try {
    const read = readSavedFile(await uncompressed(file));
    readSavedFile(pack(read).slice().buffer as ArrayBuffer);
    return null;
  } catch (error) {
    if (!(error instanceof UnreadableError)) return (error as Error).stack ?? String(error);
    return isOneSentence(error.message) ? null : `not one sentence: ${error.message}`;
  }
}

function damagedFile(whole: SavedFile, random: Random): Uint8Array {
  const seed = below(random, 2 ** 31);
  return oneOf<() => Uint8Array>(random, [
    () => gzipSync(packed(changeJson(whole, random)), { level: 1 }),
    () => gzipSync(packed(attackJson(whole, random)), { level: 1 }),
    () => gzipSync(mutate(Buffer.from(pack(whole)), seed), { level: 1 }),
    () => mutate(gzipSync(pack(whole), { level: 1 }), seed),
    () => gzipSync(withForeignArrays(whole, random), { level: 1 }),
  ])();
}

/** What is too deep to be written is left out. */
function packed(value: unknown): Uint8Array {
  try {
    return pack(value);
  } catch {
    return pack(null);
  }
}

/** Arrays that lie elsewhere, over each other, or are of another type or length. */
function withForeignArrays(whole: SavedFile, random: Random): Uint8Array {
  const bytes = Buffer.from(pack(whole));
  const length = bytes.readUInt32LE(0);
  const json = bytes.toString('utf8', 4, 4 + length).replace(/"\$array":\[[^\]]*\]/g, found => {
    if (random() > 0.1) return found;
    const place = () => oneOf(random, [0, -8, 3, 8, 2 ** 20, 2 ** 31, 2 ** 53, 0.5, null, 'x']);
    const type = oneOf(random, [
      'Float32Array',
      'Float64Array',
      'Uint8Array',
      'Array',
      '__proto__',
      'toString',
    ]);
    return `"$array":${JSON.stringify([type, place(), place()])}`;
  });
  const text = Buffer.from(json);
  const head = Buffer.alloc((4 + text.length + 7) & ~7);
  head.writeUInt32LE(text.length);
  text.copy(head, 4);
  return Buffer.concat([head, bytes.subarray((4 + length + 7) & ~7)]);
}

/** Small files that stand for much. */
export const bombs: Record<string, () => Uint8Array> = {
  'the same bytes as a thousand arrays': () => {
    const size = 1 << 20;
    const arrays = Array.from({ length: 1000 }, () => ({ $array: ['Float32Array', 0, size / 4] }));
    const json = Buffer.from(JSON.stringify({ format: FORMAT, version: VERSION, arrays }));
    const file = Buffer.alloc(((4 + json.length + 7) & ~7) + size);
    file.writeUInt32LE(json.length);
    json.copy(file, 4);
    return gzipSync(file, { level: 1 });
  },
  'more JSON than any analysis has': () => {
    const json = Buffer.alloc(MOST_JSON + (8 << 20), '[],');
    json.write('[');
    json.write(']', json.length - 1);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(json.length);
    return gzipSync(Buffer.concat([head, json]), { level: 1 });
  },
  'lists in lists': () => {
    const json = Buffer.from('['.repeat(1 << 20));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(json.length);
    return gzipSync(Buffer.concat([head, json]));
  },
};
