import type { Analysis, CoreTensors } from './analysis';
import { HeaviestPairs } from './heaviestPairs';
import { jointProjection } from './projection';
import { kvHead, visibleKeys, type CoreInput } from '../attention/core';
import { denseRows } from '../attention/dense';
import type { Attended } from '../attention/mechanism';
import { unitRows } from '../attention/tied';
import { RefusedError } from '../errors';
import type { BucketMap, BucketMapParams, BucketParams, Buckets } from '../protocol';
import { checkpoint, type Cancellation } from '../runtime/cancellation';
import type { Tensor } from '../runtime/tensor';

/** Which bucket each query and key of one head is in, per round; -1 = none. */
interface Assignment {
  rounds: number;
  count: number;
  queryBucket: Int32Array[];
  keyBucket: Int32Array[];
  /** In how many buckets each query is (LSH: one per round). */
  multiplicity: Int32Array;
  /** Members per bucket and round, counting every membership. */
  sizes: Int32Array[];
  /** [count, dim] directions of the buckets, empty where there are none. */
  centers: Float32Array;
}

export async function buckets(
  analysis: Analysis,
  params: BucketParams,
  cancellation: Cancellation,
): Promise<Buckets> {
  const { tensors, attended, assignment } = await assign(analysis, params, cancellation);
  const { input } = tensors;
  const missed = new HeaviestPairs(24);
  let recall = 0;
  let chance = 0;
  let rows = 0;
  await eachDenseRow(analysis, input, params.head, cancellation, (query, row) => {
    const { from, to } = visibleKeys(input, query);
    if (to <= from) return;
    rows++;
    const { keys, mask } = attended.row(params.head, query);
    let kept = 0;
    for (let t = 0; t < keys.length; t++) {
      const share = mask?.[t] ?? 1;
      kept += row[keys[t]!]! * share;
      row[keys[t]!]! *= 1 - share;
    }
    recall += Math.min(1, kept);
    chance += keys.length / (to - from);
    for (let j = from; j < to; j++) missed.offer(query, j, row[j]!);
  });
  const { sizes, count, rounds, queryBucket, keyBucket, multiplicity } = assignment;
  let uncovered = 0;
  for (let i = 0; i < input.queries; i++) if (attended.row(params.head, i).keys.length === 0) uncovered++;
  return {
    rounds,
    count,
    queryBucket,
    keyBucket,
    sizes,
    multiplicity,
    uncovered,
    recall: recall / Math.max(1, rows),
    chanceRecall: chance / Math.max(1, rows),
    missed: missed.list(),
    projection: jointProjection(
      unitRows(headRows(input.q, params.head, input.queries, input.dim), input.dim),
      unitRows(headRows(input.k, kvHead(input, params.head), input.keys, input.dim), input.dim),
      unitRows(assignment.centers, input.dim),
      input.dim,
    ),
  };
}

/** The head's map with rows and columns sorted by bucket, reduced to at most size x size cells (mean mass). */
export async function bucketMap(
  analysis: Analysis,
  params: BucketMapParams,
  cancellation: Cancellation,
): Promise<BucketMap> {
  const { tensors, attended, assignment } = await assign(analysis, params, cancellation);
  const { input } = tensors;
  const round = Math.max(0, Math.min(assignment.rounds - 1, params.round));
  const queryRank = rankByBucket(assignment.queryBucket[round]!, assignment.count);
  const keyRank = rankByBucket(assignment.keyBucket[round]!, assignment.count);
  const rows = Math.min(params.size, input.queries);
  const columns = Math.min(params.size, input.keys);
  const mass = new Float32Array(rows * columns);
  const kept = new Float32Array(rows * columns);
  const area = new Float32Array(rows * columns);
  const columnOf = keyRank.rank.map(rank => Math.floor((rank * columns) / input.keys));
  await eachDenseRow(analysis, input, params.head, cancellation, (query, row) => {
    const r = Math.floor((queryRank.rank[query]! * rows) / input.queries) * columns;
    for (let j = 0; j < row.length; j++) {
      mass[r + columnOf[j]!]! += row[j]!;
      area[r + columnOf[j]!]!++;
    }
    const { keys, mask } = attended.row(params.head, query);
    for (let t = 0; t < keys.length; t++) kept[r + columnOf[keys[t]!]!]! += row[keys[t]!]! * (mask?.[t] ?? 1);
  });
  for (let c = 0; c < mass.length; c++) {
    kept[c] = mass[c]! > 0 ? Math.min(1, kept[c]! / mass[c]!) : 0;
    mass[c]! /= Math.max(1, area[c]!);
  }
  const inCells = (starts: Int32Array, cells: number, items: number) =>
    Float32Array.from(starts, start => (start * cells) / items);
  return {
    rows,
    columns,
    mass,
    kept,
    rowStarts: inCells(queryRank.starts, rows, input.queries),
    columnStarts: inCells(keyRank.starts, columns, input.keys),
  };
}

async function assign(
  analysis: Analysis,
  params: BucketParams,
  cancellation: Cancellation,
): Promise<{ tensors: CoreTensors; attended: Attended; assignment: Assignment }> {
  analysis.head(params.core, params.head);
  const tensors = await analysis.tensors(params.core);
  const attended = await analysis.attendLocally(params.mechanism, params.core, cancellation);
  const own = await analysis.ownTensors(params.mechanism, params.core, tensors.input, cancellation);
  const { extra } = attended;
  if (extra['buckets']) {
    return { tensors, attended, assignment: hashed(extra, tensors.input, params.head) };
  }
  if (extra['query_members'] && extra['key_members']) {
    return { tensors, attended, assignment: clustered(extra, own, tensors.input, params.head) };
  }
  throw new RefusedError(`The mechanism ${params.mechanism.name} has no buckets.`);
}

/** LSH: one bucket per token and round. Queries and keys may hash apart (`key_buckets`). */
function hashed(extra: Record<string, Tensor>, input: CoreInput, head: number): Assignment {
  const rounds = extra['buckets']!.dims[1]!;
  const perRound = (name: string, tokens: number) => {
    const { data } = extra[name]!;
    return Array.from({ length: rounds }, (_, round) => {
      const at = (head * rounds + round) * tokens;
      return Int32Array.from({ length: tokens }, (_, i) => Number(data[at + i]!));
    });
  };
  const queryBucket = perRound('buckets', input.queries);
  const keyBucket = extra['key_buckets'] ? perRound('key_buckets', input.keys) : queryBucket;
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

/** Routing: a token may be in several clusters or none; it is painted with the nearest centroid that holds it. */
function clustered(
  extra: Record<string, Tensor>,
  own: Record<string, Tensor>,
  input: CoreInput,
  head: number,
): Assignment {
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

/** Position of each token when sorted by (bucket, position), tokens without a bucket last; and where buckets start. */
function rankByBucket(ids: Int32Array, count: number): { rank: Int32Array; starts: Int32Array } {
  const starts = new Int32Array(count + 2);
  const slot = (id: number) => (id < 0 ? count : id);
  for (const id of ids) starts[slot(id) + 1]!++;
  for (let b = 0; b <= count; b++) starts[b + 1]! += starts[b]!;
  const next = starts.slice();
  const rank = Int32Array.from(ids, id => next[slot(id)]!++);
  return { rank, starts: starts.subarray(0, count + 1) };
}

function headRows(data: Float32Array, head: number, rows: number, dim: number): Float32Array {
  return data.subarray(head * rows * dim, (head + 1) * rows * dim);
}

/** Calls back with every row of the dense map, block by block; the row may be changed by the callee. */
export async function eachDenseRow(
  analysis: Analysis,
  input: CoreInput,
  head: number,
  cancellation: Cancellation,
  visit: (query: number, row: Float32Array) => void,
): Promise<void> {
  const step = Math.max(1, Math.floor(2 ** 20 / input.keys));
  for (let from = 0; from < input.queries; from += step) {
    await checkpoint(cancellation);
    const to = Math.min(input.queries, from + step);
    const mass = await denseRows(input, head, from, to, analysis.context(cancellation));
    for (let i = from; i < to; i++)
      visit(i, mass.subarray((i - from) * input.keys, (i - from + 1) * input.keys));
  }
}
