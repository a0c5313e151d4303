/** The cases of the fuzzer: a model folder each, with one file damaged or the whole of it as an attacker would pack it. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attackFolder, HOSTILE_TEXTS } from './attackFolders';
import { damageModel } from './graphs';
import { changeJson } from './json';
import { mutate } from './mutate';
import { oneOf, seeded } from './random';

/** Of bytes wherever they are, of what the file says, or by intent. */
export type Damage = 'bytes' | 'structure' | 'attack';

/** Models of one layer, which take little time, or exported ones. */
export type Base = 'small' | 'exported';

export interface Case {
  seed: number;
  damage: Damage;
  base: Base;
}

/** The folders whose models are damaged, by what they are. */
export type Fixtures = Record<Base, string>;

/** What the victim is given. */
export interface Task {
  folder: string;
  text: string;
  /** Nothing but the graph is damaged: the tokenizer, which takes a process of its own, can wait until it is needed. */
  graphFirst: boolean;
}

const TEXT = 't1 t2 t3 t4 t5 t2 t3 t9 The cat sat.';

/** A copy of one of the model folders, damaged. */
export function prepare(home: string, fixtures: Fixtures, one: Case): Task {
  const { seed, damage } = one;
  const models = readdirSync(fixtures[one.base]).sort();
  const random = seeded(seed ^ 0x5eed);
  const folder = join(home, String(seed));
  cpSync(join(fixtures[one.base], oneOf(random, models)), folder, { recursive: true });
  const onnx = join(
    folder,
    'onnx',
    readdirSync(join(folder, 'onnx')).find(name => name.endsWith('.onnx'))!,
  );
  if (damage === 'attack') {
    const target = attackFolder({ folder, onnx }, seed, random);
    const text = target === 'folder' && random() < 0.3 ? oneOf(random, HOSTILE_TEXTS) : TEXT;
    return { folder, text, graphFirst: target === 'graph' };
  }
  const draw = random();
  const file = draw < 0.7 ? onnx : join(folder, draw < 0.9 ? 'tokenizer.json' : 'config.json');
  const bytes = readFileSync(file);
  const damaged =
    damage === 'bytes'
      ? mutate(bytes, seed)
      : file === onnx
        ? damageModel(bytes, seed)
        : changedText(bytes.toString('utf8'), seed);
  rmSync(file);
  writeFileSync(file, damaged);
  return { folder, text: TEXT, graphFirst: file === onnx };
}

interface Seeds extends Record<Base, Record<Damage, number[]>> {
  saved: number[];
  hub: number[];
}

/** Of cases that failed before they were mended. */
export const knownSeeds = JSON.parse(readFileSync(join(__dirname, 'seeds.json'), 'utf8')) as Seeds;

/** Those of models. */
export function knownCases(): Case[] {
  return (['exported', 'small'] as const).flatMap(base =>
    (['bytes', 'structure', 'attack'] as const).flatMap(damage =>
      knownSeeds[base][damage].map(seed => ({ seed, damage, base })),
    ),
  );
}

/** So many new ones: of four, one is damaged in its bytes, one in its structure, two by intent; of ten, one is exported. */
export function freshCases(count: number, first: number): Case[] {
  return Array.from({ length: count }, (_, i) => ({
    seed: first + i,
    damage: (['bytes', 'structure', 'attack', 'attack'] as const)[i % 4]!,
    base: i % 10 === 9 ? ('exported' as const) : ('small' as const),
  }));
}

/** A JSON text, changed; as it was where it became too deep to be written. */
function changedText(text: string, seed: number): string {
  try {
    return JSON.stringify(changeJson(JSON.parse(text), seeded(seed)));
  } catch (error) {
    if (error instanceof RangeError) return text;
    throw error;
  }
}
