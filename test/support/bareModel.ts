import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveModel } from '../../engine/model/source/source';

/** The bundled `tokenizer.json` without the token that it puts before every text. */
export function bareTokenizer(bundled: string): string {
  const whole = JSON.parse(readFileSync(join(bundled, 'tokenizer.json'), 'utf8')) as {
    post_processor: { type: string; processors: { type: string }[] };
  };
  const [bytes, ...others] = whole.post_processor.processors;
  if (bytes?.type !== 'ByteLevel' || `${others.map(({ type }) => type)}` !== 'TemplateProcessing')
    throw new Error('The bundled tokenizer puts something else before a text.');
  return JSON.stringify({ ...whole, post_processor: bytes });
}

/** The bundled model with that tokenizer, in this folder: for it a text may be a single token. */
export async function bareModel(into: string): Promise<string> {
  const { folder } = await resolveModel('bundled');
  const path = join(into, 'bare');
  cpSync(folder, path, { recursive: true });
  writeFileSync(join(path, 'tokenizer.json'), bareTokenizer(folder));
  return path;
}
