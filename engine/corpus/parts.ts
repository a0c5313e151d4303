/** Which shards of a list of texts a profile is made of, so that one that is missing is told. */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { CorpusFile } from './files';

export interface Shard {
  /** From 1. */
  index: number;
  of: number;
}

export const MOST_SHARDS = 1_000_000;

/** Some shards of one list of texts. */
export interface Part {
  /** SHA-256 of the names of all texts of the list, and how many they are. */
  list: string;
  texts: number;
  /** Cut into so many shards, of which these are there. */
  of: number;
  held: number[];
}

/** Every n-th text from the i-th on (from 1): kinds and lengths come mixed to each shard. */
export function shardOf<T>(texts: readonly T[], { index, of }: Shard): T[] {
  return texts.filter((_, at) => at % of === index - 1);
}

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const shards = v.pipe(whole, v.minValue(1), v.maxValue(MOST_SHARDS));
const part = v.object({ list: v.string(), texts: whole, of: shards, held: v.array(shards) });

/** As a file has them. @throws RangeError where they are odd. */
export function partsFrom(value: unknown): Part[] {
  const read = v.safeParse(v.array(part), value);
  if (!read.success) throw new RangeError();
  return read.output;
}

/** What one shard is of its list. */
export function partOf(files: readonly CorpusFile[], { index, of }: Shard): Part {
  const names = files.map(({ file }) => file).join('\0');
  return { list: createHash('sha256').update(names).digest('hex'), texts: files.length, of, held: [index] };
}

/** Shards of the same list together; a list that is complete is no part any more. */
export function together(parts: readonly Part[]): Part[] {
  const lists = new Map<string, Part>();
  for (const part of parts) {
    const key = `${part.list} ${part.of}`;
    const held = new Set([...(lists.get(key)?.held ?? []), ...part.held]);
    lists.set(key, { ...part, held: [...held].sort((a, b) => a - b) });
  }
  return [...lists]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, part]) => (missingOf(part).length > 0 ? [part] : []));
}

export const missingOf = ({ of, held }: Part): number[] =>
  Array.from({ length: of }, (_, at) => at + 1).filter(index => !held.includes(index));

export function missingWords(part: Part): string {
  const missing = missingOf(part);
  const [last, ...before] = [...missing].reverse();
  const named = before.length > 0 ? `shards ${before.reverse().join(', ')} and ${last}` : `shard ${last}`;
  return `${named} of ${part.of} ${before.length > 0 ? 'are' : 'is'} missing, of ${part.texts} texts in all`;
}
