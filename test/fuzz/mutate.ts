/** Deterministic damage to files: the same seed gives the same bytes on every machine. */
import { seeded, type Random } from './random';

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x0a, 0x12];
export const HOSTILE_NAMES = [
  '../../secret.bin',
  '/etc/passwd',
  '..\\secret',
  'a\0b',
  '\u{1f600}'.repeat(8),
  '',
];

const damages: ((bytes: Buffer, random: Random) => Buffer)[] = [
  function truncate(bytes, random) {
    return bytes.subarray(0, Math.floor(random() * bytes.length));
  },
  function flip(bytes, random) {
    return everywhere(bytes, random, at => bytes[at]! ^ (1 << Math.floor(random() * 8)));
  },
  function overwrite(bytes, random) {
    return everywhere(bytes, random, () => INTERESTING[Math.floor(random() * INTERESTING.length)]!);
  },
  function insert(bytes, random) {
    const at = Math.floor(random() * bytes.length);
    const size = 1 + Math.floor(random() * 64);
    const middle = Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
    return Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at)]);
  },
  function remove(bytes, random) {
    const at = Math.floor(random() * bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + Math.floor(random() * 256))]);
  },
  function splice(bytes, random) {
    const from = Math.floor(random() * bytes.length);
    const size = Math.floor(random() * 512);
    const at = Math.floor(random() * bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + size), bytes.subarray(at)]);
  },
  /** A huge length or dimension: several bytes with the continuation bit set. */
  function inflate(bytes, random) {
    const copy = Buffer.from(bytes);
    const at = Math.floor(random() * Math.max(1, copy.length - 10));
    copy.fill(0xff, at, Math.min(copy.length, at + 1 + Math.floor(random() * 8)));
    return copy;
  },
  function rename(bytes, random) {
    const copy = Buffer.from(bytes);
    const name = Buffer.from(HOSTILE_NAMES[Math.floor(random() * HOSTILE_NAMES.length)]!);
    name.copy(copy, Math.floor(random() * Math.max(1, copy.length - name.length)));
    return copy;
  },
];

/** The bytes with one to three kinds of damage. Headers and structure are hit more often than weights. */
export function mutate(bytes: Buffer, seed: number): Buffer {
  const random = seeded(seed);
  let result: Buffer = Buffer.from(bytes);
  const times = 1 + Math.floor(random() * 3);
  for (let t = 0; t < times; t++) result = damages[Math.floor(random() * damages.length)]!(result, random);
  return result;
}

function everywhere(bytes: Buffer, random: Random, value: (at: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  const hits = 1 + Math.floor(random() * 12);
  for (let h = 0; h < hits && copy.length > 0; h++) {
    // Squaring prefers the front, where models keep their graph and tokenizers their settings.
    const at = Math.floor(random() ** 2 * copy.length);
    copy[at] = value(at);
  }
  return copy;
}
