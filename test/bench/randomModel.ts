import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tokenizerOf } from '../fixtures/plantedModels';
import { benchModel, GPT2_SMALL, randomIds } from './models';

const vocabulary = Array.from({ length: GPT2_SMALL.vocabulary }, (_, t) => `w${t}`);

/** Layers of 12 heads x 64 with random weights, and a tokenizer of random words beside them. @returns the model's file */
export function writeRandomModel(folder: string, layers: number, context: number): string {
  const file = join(folder, 'gpt2.onnx');
  writeFileSync(file, benchModel({ ...GPT2_SMALL, layers, context }));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizerOf(vocabulary)));
  return file;
}

export const randomWords = (tokens: number): string =>
  Array.from(randomIds(tokens, vocabulary.length), id => vocabulary[id]).join(' ');
