/** By what the files of a model are told from others: their hashes, as `sha256sum` prints them. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { hashOf, hashOfFile } from '../hash';
import { refuseUnlessHeld } from '../runtime/memory';
import { readSkeleton, weightFiles } from '../model/onnx/skeleton';
import type { ModelFiles } from '../model/source/source';
import type { ModelFingerprint } from '../../shared/protocol/engine';

/** What is read of a model's folder beside its graphs, as far as it is there. */
const BESIDE = [
  'attention.json',
  'config.json',
  'genai_config.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
];

/** All files that ONNX Runtime reads. */
export function graphFiles({ onnx, encoder, embedding }: ModelFiles): string[] {
  const graphs = [onnx, encoder, embedding].filter(path => path !== undefined);
  return graphs.flatMap(path => {
    // Refuses what is unsound or of any size, so that no weight file is a pipe, lies elsewhere or never ends.
    refuseUnlessHeld(readSkeleton(path).fileBytes, basename(path));
    return [path, ...weightFiles(path).map(name => join(dirname(path), name))];
  });
}

export async function fingerprint(model: ModelFiles): Promise<ModelFingerprint> {
  const paths = new Set(graphFiles(model));
  const folders = new Set([model.folder, dirname(model.onnx)]);
  for (const path of [...folders].flatMap(folder => BESIDE.map(name => join(folder, name)))) {
    if ((await stat(path).catch(() => null))?.isFile()) paths.add(path);
  }
  const files: ModelFingerprint['files'] = [];
  for (const path of paths) {
    const file = relative(model.folder, path).split(sep).join('/');
    files.push({ file, sha256: await hashOfFile(path) });
  }
  files.sort((a, b) => (a.file < b.file ? -1 : 1));
  return { sha256: hashOf(files.map(({ file, sha256 }) => `${sha256}  ${file}\n`).join('')), files };
}
