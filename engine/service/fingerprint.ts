/** By what the files of a model are told from others: their hashes, as `sha256sum` prints them. */
import { stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { hashOf, hashOfFile } from '../hash';
import { graphFiles, type Graphs } from '../model/onnx/graphFiles';
import { POOLING_FILE } from '../model/source/config';
import type { ModelFiles } from '../model/source/source';
import type { ModelFingerprint } from '../../shared/protocol/engine';

/** What is read of a model's folder beside its graphs, as far as it is there. */
const BESIDE = [
  POOLING_FILE,
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

/** What may be read beside the graphs, there or not. */
export function filesBeside({ folder, onnx }: ModelFiles): string[] {
  const folders = new Set([folder, dirname(onnx)]);
  return [...folders].flatMap(each => BESIDE.map(name => join(each, name)));
}

export async function fingerprint(model: ModelFiles & Graphs): Promise<ModelFingerprint> {
  const paths = new Set(graphFiles(model));
  for (const path of filesBeside(model)) {
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
