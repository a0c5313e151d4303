/** A model's folder as an attacker would pack it. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { decodeModel } from '../../engine/runtime/onnxProto';
import { attackModel, WEIGHT_FILES } from './attackGraphs';
import { attackConfig, attackDeclaration, attackTokenizer, attackVocabulary } from './attackTokenizers';
import { changeJson } from './json';
import { below, oneOf, type Random } from './random';

export interface ModelFolder {
  folder: string;
  /** Its .onnx file. */
  onnx: string;
}

/** What was attacked: only the graph, or what the tokenizer is asked about as well. */
export function attackFolder(place: ModelFolder, seed: number, random: Random): 'graph' | 'folder' {
  const draw = random();
  if (draw < 0.6) {
    const attacked = attackModel(readFileSync(place.onnx), seed);
    writeFileSync(place.onnx, attacked);
    layWeights(place, random, attacked);
    return 'graph';
  }
  if (draw < 0.8) {
    writeFileSync(join(place.folder, 'tokenizer.json'), attackTokenizer(random));
    return 'folder';
  }
  oneOf(random, attacks)(place, random);
  return 'folder';
}

const attacks: ((place: ModelFolder, random: Random) => void)[] = [
  declared,
  declared,
  declared,
  ({ folder }, random) => {
    const path = join(folder, 'config.json');
    writeFileSync(path, attackConfig(JSON.parse(readFileSync(path, 'utf8')), random));
  },
  ({ folder }, random) => {
    rmSync(join(folder, 'tokenizer.json'));
    for (const [name, text] of Object.entries(attackVocabulary(random)))
      writeFileSync(join(folder, name), text);
  },
  /** Something that is no file in the place of one. */
  ({ folder, onnx }, random) => {
    const files = ['tokenizer.json', 'config.json', 'attention.json', 'tokenizer_config.json', 'README.md'];
    const path = oneOf(random, [onnx, ...files.map(name => join(folder, name))]);
    rmSync(path, { force: true });
    unusual(path, random);
  },
  /** Several models side by side. */
  ({ onnx }, random) => {
    const names = [
      'encoder_model',
      'decoder_model',
      'decoder_model_merged',
      'embed_tokens',
      'model_int8',
      'model',
      'a.b',
    ];
    const bytes = readFileSync(onnx);
    if (random() < 0.5) renameSync(onnx, join(dirname(onnx), `${oneOf(random, names)}.onnx`));
    for (const name of names.filter(() => random() < 0.3))
      writeFileSync(
        join(dirname(onnx), `${name}.onnx`),
        random() < 0.5 ? bytes : attackModel(bytes, below(random, 1e9)),
      );
  },
  ({ folder, onnx }, random) => {
    const genai = {
      model: { type: 'x', context_length: -1, decoder: { head_size: 'x', num_hidden_layers: 1e300 } },
    };
    rmSync(join(folder, 'config.json'));
    writeFileSync(join(folder, 'genai_config.json'), JSON.stringify(changeJson(genai, random)));
    if (random() < 0.5) renameSync(onnx, join(folder, 'model.onnx'));
  },
];

function declared({ folder, onnx }: ModelFolder, random: Random): void {
  const { node, initializer } = decodeModel(readFileSync(onnx)).graph!;
  const names = [...node.flatMap(({ output }) => output), ...initializer.map(({ name }) => name)];
  writeFileSync(join(folder, 'attention.json'), attackDeclaration(names, random));
}

/** The files that a hostile graph names beside itself. */
function layWeights({ onnx }: ModelFolder, random: Random, attacked: Uint8Array): void {
  for (const name of WEIGHT_FILES) {
    const path = join(dirname(onnx), name);
    if (existsSync(path) || !Buffer.from(attacked).includes(name)) continue;
    if (name === 'weights.bin') writeFileSync(path, new Uint8Array(2 ** 20));
    else if (name === 'pipe.bin') execFileSync('mkfifo', [path]);
    else if (name === 'folder.bin') mkdirSync(path);
    else if (name === 'outside.bin') symlinkSync('/etc/passwd', path);
    else if (name === 'device.bin') symlinkSync('/dev/zero', path);
    else hollow(path, 2 ** oneOf(random, [28, 30, 32, 36]));
  }
}

/** A file that is large and takes no room on the disk. */
function hollow(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, bytes);
  closeSync(file);
}

function unusual(path: string, random: Random): void {
  oneOf<() => unknown>(random, [
    () => execFileSync('mkfifo', [path]),
    () => mkdirSync(path),
    () => symlinkSync('/etc/passwd', path),
    () => symlinkSync('/dev/zero', path),
    () => symlinkSync(path, path),
    () => writeFileSync(path, ''),
    () => writeFileSync(path, '['.repeat(100_000)),
    () => writeFileSync(path, `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`),
    () => hollow(path, 2 ** oneOf(random, [20, 26, 28])),
    () => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00, 0xd8, 0x7b])),
  ])();
}

/** Texts on which a tokenizer or a window of the model may break. */
export const HOSTILE_TEXTS = [
  'z'.repeat(40),
  'a'.repeat(3000),
  'ab'.repeat(500),
  '\ud800 lone \udc00',
  '\u202eright to left\u202c \u0000\u0007',
  `e${'\u0301'.repeat(2000)}`,
  '👩‍👩‍👧‍👦'.repeat(60),
  '\n\n\n \t x',
  '<s> </s> [CLS] [SEP] <unk>',
  'ﷺ'.repeat(300),
];
