/**
 * Reformer's sorted ring (section 2): the tokens of all rounds, sorted by (round, bucket, position), cut into chunks
 * that each see themselves and the chunk before. Queries and keys may hash apart: a chunk is then a run of at most
 * `size` sorted queries whose places among the sorted keys span at most `size` keys; it sees those keys, the ones up to
 * the next chunk as far as its size goes, and the `size` before. With queries and keys hashed alike that is exactly Reformer's rule.
 */
export interface Ring {
  rounds: number;
  /** [rounds, tokens] sorted tokens, round after round. */
  queryOrder: Int32Array;
  keyOrder: Int32Array;
  /** [rounds, keys] place of each key in `keyOrder`. */
  keyPlace: Int32Array;
  /** [rounds, queries] chunk of each query. */
  chunkOf: Int32Array;
  chunks: Chunk[];
}

export interface Chunk {
  /** Queries: entries from .. to-1 of `queryOrder`. */
  from: number;
  to: number;
  /** Keys: entries first .. end-1 of `keyOrder`, and those from `wrap` on (= length: none). */
  first: number;
  end: number;
  wrap: number;
  /** Queries and keys are not all of one round. */
  mixed: boolean;
}

export function buildRing(
  queryBuckets: readonly Int32Array[],
  keyBuckets: readonly Int32Array[],
  size: number,
): Ring {
  const rounds = queryBuckets.length;
  const queries = queryBuckets[0]!.length;
  const keys = keyBuckets[0]!.length;
  const shift = keys - queries;
  const queryOrder = sortRounds(queryBuckets);
  const keyOrder = sortRounds(keyBuckets);
  const keyPlace = new Int32Array(rounds * keys);
  for (let place = 0; place < keyOrder.length; place++) {
    keyPlace[Math.floor(place / keys) * keys + keyOrder[place]!] = place;
  }
  const total = keyOrder.length;
  const chunkOf = new Int32Array(rounds * queries);
  const chunks: Chunk[] = [];
  let chunk: { from: number; to: number; low: number; high: number } | null = null;
  const close = (nextLow: number) => {
    if (!chunk) return;
    const { from, to, low } = chunk;
    const high = Math.max(chunk.high, Math.min(low + size, nextLow));
    const r = (entry: number, tokens: number) => Math.floor(entry / tokens);
    const wraps = low === 0 && total > size;
    const first = Math.max(0, low - size);
    chunks.push({
      from,
      to,
      first,
      end: high,
      wrap: wraps ? Math.floor((total - 1) / size) * size : total,
      mixed:
        wraps || new Set([r(from, queries), r(to - 1, queries), r(first, keys), r(high - 1, keys)]).size > 1,
    });
  };
  let cursor = 0;
  for (let entry = 0; entry < queryOrder.length; entry++) {
    const round = Math.floor(entry / queries);
    const token = queryOrder[entry]!;
    const bucket = queryBuckets[round]![token]!;
    const position = token + shift;
    // Keys that sort before this query, then those up to and with its own position.
    cursor = Math.max(cursor, round * keys);
    const limit = (round + 1) * keys;
    const before = (place: number, ownToo: boolean) => {
      const key = keyOrder[place]!;
      const other = keyBuckets[round]![key]!;
      return other < bucket || (other === bucket && (key < position || (ownToo && key === position)));
    };
    while (cursor < limit && before(cursor, false)) cursor++;
    const low = cursor;
    const high = cursor < limit && before(cursor, true) ? cursor + 1 : cursor;
    if (chunk && (entry - chunk.from >= size || Math.max(high, low) - chunk.low > size)) {
      close(low);
      chunk = null;
    }
    chunk ??= { from: entry, to: entry, low, high: low };
    chunk.to = entry + 1;
    chunk.high = Math.max(chunk.high, high);
    chunkOf[round * queries + token] = chunks.length;
  }
  close(total);
  return { rounds, queryOrder, keyOrder, keyPlace, chunkOf, chunks };
}

/** Tokens of every round sorted by bucket, then position (counting sort). */
function sortRounds(buckets: readonly Int32Array[]): Int32Array {
  const tokens = buckets[0]!.length;
  const order = new Int32Array(buckets.length * tokens);
  buckets.forEach((ids, round) => {
    let count = 0;
    for (const id of ids) count = Math.max(count, id + 1);
    const next = new Int32Array(count + 1);
    for (const id of ids) next[id + 1]!++;
    for (let b = 0; b < count; b++) next[b + 1]! += next[b]!;
    ids.forEach((id, token) => (order[round * tokens + next[id]!++] = token));
  });
  return order;
}
