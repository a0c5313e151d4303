import { kvHead, type CoreInput } from '../core';
import type { HeadMask } from '../mask';
import type { Attended, BucketedRun, Bucketing } from '../mechanism';
import { buildRing } from './ring';
import type { Tensor } from '../../runtime/tensor';

/** The buckets and clusters of a run, as views and exports read them. */

type Extra = Attended['extra'];

/** One bucket per token and round; null where the run made none. */
export function hashedBuckets({ attended: { extra }, input, head }: BucketedRun): Bucketing | null {
  if (!extra['buckets']) return null;
  const { queryBuckets: queryBucket, keyBuckets: keyBucket } = bucketsOf(extra, head);
  const rounds = queryBucket.length;
  let count = 0;
  for (const ids of [...queryBucket, ...keyBucket]) for (const id of ids) count = Math.max(count, id + 1);
  return {
    rounds,
    count,
    queryBucket,
    keyBucket,
    multiplicity: new Int32Array(input.queries).fill(rounds),
    sizes: queryBucket.map(ids => histogram(ids, count)),
    centers: new Float32Array(0),
  };
}

/** A token may be in several clusters or none; it is painted with the nearest centroid that holds it. */
export function clusteredBuckets({ attended: { extra }, own, input, head }: BucketedRun): Bucketing {
  const centroids = own['centroids']!;
  const count = centroids.dims[1]!;
  const { dim } = input;
  const centers = Float32Array.from({ length: count * dim }, (_, t) =>
    Number(centroids.data[head * count * dim + t]!),
  );
  const queries = members(extra['query_members']!, head, count, input.queries);
  const keys = members(extra['key_members']!, head, count, input.keys);
  return {
    rounds: 1,
    count,
    queryBucket: [nearest(headRows(input.q, head, input.queries, dim), centers, queries.lists, dim)],
    keyBucket: [nearest(headRows(input.k, kvHead(input, head), input.keys, dim), centers, keys.lists, dim)],
    multiplicity: Int32Array.from(queries.lists, list => list.length),
    sizes: [queries.sizes],
    centers,
  };
}

function members(
  tensor: Tensor,
  head: number,
  clusters: number,
  tokens: number,
): { lists: number[][]; sizes: Int32Array } {
  const window = tensor.dims[2]!;
  const lists: number[][] = Array.from({ length: tokens }, () => []);
  const sizes = new Int32Array(clusters);
  for (let c = 0; c < clusters; c++) {
    for (let t = 0; t < window; t++) {
      const token = Number(tensor.data[(head * clusters + c) * window + t]!);
      if (token < 0) continue;
      lists[token]!.push(c);
      sizes[c]!++;
    }
  }
  return { lists, sizes };
}

function nearest(rows: Float32Array, centers: Float32Array, lists: number[][], dim: number): Int32Array {
  return Int32Array.from(lists, (clusters, i) => {
    let best = -1;
    let bestDot = -Infinity;
    for (const c of clusters) {
      let dot = 0;
      for (let x = 0; x < dim; x++) dot += rows[i * dim + x]! * centers[c * dim + x]!;
      if (dot > bestDot) [best, bestDot] = [c, dot];
    }
    return best;
  });
}

function histogram(ids: Int32Array, count: number): Int32Array {
  const sizes = new Int32Array(count);
  for (const id of ids) if (id >= 0) sizes[id]!++;
  return sizes;
}

export function ringMask(extra: Extra, bucketSize: number, across: boolean): HeadMask {
  const { queryBuckets, keyBuckets } = bucketsOf(extra, 0);
  const { keyPlace, chunkOf, chunks } = buildRing(queryBuckets, keyBuckets, bucketSize);
  const chunk = (pick: (chunk: (typeof chunks)[number]) => number) => chunkOf.map(c => pick(chunks[c]!));
  return {
    kind: 'ring',
    rounds: queryBuckets.length,
    places: keyPlace,
    first: chunk(c => c.first),
    end: chunk(c => c.end),
    wrap: chunk(c => c.wrap),
    buckets: across ? null : { queries: joined(queryBuckets), keys: joined(keyBuckets) },
  };
}

/** `buckets` and `key_buckets` [heads, rounds, tokens] of one head by round; queries and keys may hash apart. */
function bucketsOf(extra: Extra, head: number): { queryBuckets: Int32Array[]; keyBuckets: Int32Array[] } {
  const rounds = ({ data, dims }: Tensor) => {
    const [, count = 1, tokens = 0] = dims;
    return Array.from({ length: count }, (_, r) =>
      Int32Array.from({ length: tokens }, (_, i) => Number(data[(head * count + r) * tokens + i]!)),
    );
  };
  const queryBuckets = rounds(extra['buckets']!);
  return { queryBuckets, keyBuckets: extra['key_buckets'] ? rounds(extra['key_buckets']) : queryBuckets };
}

function joined(lists: readonly Int32Array[]): Int32Array {
  return Int32Array.from(lists.flatMap(list => [...list]));
}

/** Bits of one word. The sign bit stays unused: not every program has unsigned words. */
const WORD = 31;

export function clusterMask(extra: Extra, input: CoreInput): HeadMask {
  const queryMembers = extra['query_members']!;
  const words = Math.ceil(queryMembers.dims[1]! / WORD);
  const counts = new Int32Array(input.queries);
  const bits = ({ data, dims }: Tensor, tokens: number, held?: Int32Array) => {
    const [, count = 0, window = 0] = dims;
    const result = new Int32Array(tokens * words);
    for (let c = 0; c < count; c++) {
      for (let t = 0; t < window; t++) {
        const token = Number(data[c * window + t]!);
        if (token < 0) continue;
        result[token * words + Math.floor(c / WORD)]! |= 1 << (c % WORD);
        if (held) held[token]!++;
      }
    }
    return result;
  };
  const queries = bits(queryMembers, input.queries, counts);
  const keys = bits(extra['key_members']!, input.keys);
  return { kind: 'clusters', words, queries, keys, averaged: counts.some(count => count > 1) };
}

function headRows(data: Float32Array, head: number, rows: number, dim: number): Float32Array {
  return data.subarray(head * rows * dim, (head + 1) * rows * dim);
}
