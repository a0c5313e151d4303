/** Numbers for buckets that stay with their words: what a clustering calls its clusters changes with every small edit. */
import { diffArrays } from 'diff';
import type { TokenTable } from '../../shared/protocol/engine';

/** Buckets of a text as they were last seen, with the number that each was shown under. */
interface Seen {
  ids: Int32Array;
  buckets: Int32Array;
  names: Int32Array;
}

/** Texts that differ by more tokens than this are not the same text any more. */
const MOST_EDITED = 400;

/** The number that each bucket is shown under: that of the earlier bucket that most of its tokens were in. */
export function namesAfter(
  before: Seen | null,
  ids: Int32Array,
  buckets: Int32Array,
  count: number,
): Int32Array {
  const names = new Int32Array(count).fill(-1);
  const taken = new Set<number>();
  for (const { bucket, name } of before ? overlaps(before, ids, buckets) : []) {
    if (names[bucket] !== -1 || taken.has(name) || name >= count) continue;
    names[bucket] = name;
    taken.add(name);
  }
  const free = [...names.keys()].filter(name => !taken.has(name));
  return names.map(name => (name === -1 ? free.shift()! : name));
}

/** Which buckets share tokens with which earlier ones, most first. */
function overlaps(before: Seen, ids: Int32Array, buckets: Int32Array): { bucket: number; name: number }[] {
  const shared = new Map<string, { bucket: number; name: number; tokens: number }>();
  for (const [then, now] of unchanged(before.ids, ids)) {
    const [bucket, old] = [buckets[now]!, before.buckets[then]!];
    if (bucket < 0 || old < 0) continue;
    const name = before.names[old]!;
    const key = `${bucket}.${name}`;
    const found = shared.get(key) ?? { bucket, name, tokens: 0 };
    found.tokens++;
    shared.set(key, found);
  }
  return [...shared.values()].sort((a, b) => b.tokens - a.tokens);
}

/** Tokens that are in both texts: where they were, where they are. */
function* unchanged(before: Int32Array, after: Int32Array): Generator<[number, number]> {
  const parts = diffArrays([...before], [...after], { maxEditLength: MOST_EDITED }) ?? [];
  let [then, now] = [0, 0];
  for (const { added, removed, count } of parts) {
    if (!added && !removed) for (let at = 0; at < count; at++) yield [then + at, now + at];
    if (!added) then += count;
    if (!removed) now += count;
  }
}

/** What was seen last, by what it was asked for. */
const memory = new Map<string, Seen>();
const REMEMBERED = 100;

/** @param key document, head, setting and round */
export function bucketNames(
  key: string,
  { ids }: TokenTable,
  buckets: Int32Array,
  count: number,
): Int32Array {
  const before = memory.get(key) ?? null;
  if (before?.buckets === buckets) return before.names;
  const names = namesAfter(before, ids, buckets, count);
  memory.delete(key);
  memory.set(key, { ids, buckets, names });
  if (memory.size > REMEMBERED) memory.delete(memory.keys().next().value!);
  return names;
}
