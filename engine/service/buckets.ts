import type { Analysis } from './analysis';
import { HeaviestPairs } from './heaviestPairs';
import { jointProjection } from './projection';
import { kvHead, visibleKeys, type CoreInput } from '../attention/core';
import { denseRows } from '../attention/kernels/dense';
import type { Attended, SparseRow } from '../attention/mechanism';
import { unitRows } from '../attention/kernels/tied';
import { RefusedError } from '../errors';
import type { BucketMap, BucketMapParams, BucketParams, Buckets } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
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

/** One head under a mechanism with buckets. */
export interface BucketedHead {
  input: CoreInput;
  head: number;
  attended: Attended;
  assignment: Assignment;
}

export async function buckets(
  analysis: Analysis,
  params: BucketParams,
  signal: AbortSignal,
): Promise<Buckets> {
  const bucketed = await bucketedHead(analysis, params, signal);
  const { input, head, attended } = bucketed;
  const tally = new BucketTally(bucketed);
  await eachDenseRow(analysis, input, head, signal, (query, row) =>
    tally.add(query, row, attended.row(head, query)),
  );
  return tally.result();
}

/** What buckets keep and miss, from the head's dense rows. */
export class BucketTally {
  private readonly missed = new HeaviestPairs(24);
  private recall = 0;
  private chance = 0;
  private rows = 0;
  private uncovered = 0;
  private readonly lost: Float32Array;

  constructor(private readonly of: BucketedHead) {
    this.lost = new Float32Array(of.input.keys);
  }

  /** @param row dense mass of the query over all keys @param kept the mechanism's row */
  add(query: number, row: Float32Array, { keys, mask }: SparseRow): void {
    if (keys.length === 0) this.uncovered++;
    const { from, to } = visibleKeys(this.of.input, query);
    if (to <= from) return;
    this.rows++;
    const { lost } = this;
    for (let j = from; j < to; j++) lost[j] = row[j]!;
    let kept = 0;
    for (let t = 0; t < keys.length; t++) {
      const share = mask?.[t] ?? 1;
      kept += lost[keys[t]!]! * share;
      lost[keys[t]!]! *= 1 - share;
    }
    this.recall += Math.min(1, kept);
    this.chance += keys.length / (to - from);
    for (let j = from; j < to; j++) this.missed.offer(query, j, lost[j]!);
  }

  result(): Buckets {
    const { input, head, assignment } = this.of;
    const { sizes, count, rounds, queryBucket, keyBucket, multiplicity } = assignment;
    return {
      rounds,
      count,
      queryBucket,
      keyBucket,
      sizes,
      multiplicity,
      uncovered: this.uncovered,
      recall: this.recall / Math.max(1, this.rows),
      chanceRecall: this.chance / Math.max(1, this.rows),
      missed: this.missed.list(),
      projection: jointProjection(
        unitRows(headRows(input.q, head, input.queries, input.dim), input.dim),
        unitRows(headRows(input.k, kvHead(input, head), input.keys, input.dim), input.dim),
        unitRows(assignment.centers, input.dim),
        input.dim,
      ),
    };
  }
}

/** The head's map with rows and columns sorted by bucket, reduced to at most size x size cells (mean mass). */
export async function bucketMap(
  analysis: Analysis,
  params: BucketMapParams,
  signal: AbortSignal,
): Promise<BucketMap> {
  const bucketed = await bucketedHead(analysis, params, signal);
  const { input, head, attended } = bucketed;
  const sums = new BucketMapSums(bucketed, params.round, params.size);
  await eachDenseRow(analysis, input, head, signal, (query, row) =>
    sums.add(query, row, attended.row(head, query)),
  );
  return sums.result();
}

export class BucketMapSums {
  private readonly rows: number;
  private readonly columns: number;
  private readonly queryRank: Ranks;
  private readonly keyRank: Ranks;
  private readonly columnOf: Int32Array;
  private readonly mass: Float32Array;
  private readonly kept: Float32Array;

  constructor(
    private readonly of: BucketedHead,
    wantedRound: number,
    size: number,
  ) {
    const { input, assignment } = of;
    const round = Math.max(0, Math.min(assignment.rounds - 1, wantedRound));
    this.queryRank = rankByBucket(assignment.queryBucket[round]!, assignment.count);
    this.keyRank = rankByBucket(assignment.keyBucket[round]!, assignment.count);
    this.rows = Math.min(size, input.queries);
    this.columns = Math.min(size, input.keys);
    this.columnOf = this.keyRank.rank.map(rank => Math.floor((rank * this.columns) / input.keys));
    this.mass = new Float32Array(this.rows * this.columns);
    this.kept = new Float32Array(this.rows * this.columns);
  }

  add(query: number, row: Float32Array, { keys, mask }: SparseRow): void {
    const { rows, columns, columnOf, mass, kept } = this;
    const r = Math.floor((this.queryRank.rank[query]! * rows) / this.of.input.queries) * columns;
    const { from, to } = visibleKeys(this.of.input, query);
    for (let j = from; j < to; j++) mass[r + columnOf[j]!]! += row[j]!;
    for (let t = 0; t < keys.length; t++) {
      kept[r + columnOf[keys[t]!]!]! += row[keys[t]!]! * (mask?.[t] ?? 1);
    }
  }

  result(): BucketMap {
    const { rows, columns, mass, kept } = this;
    const { queries, keys } = this.of.input;
    // Cells are as even as they can be: the first place of cell x of n places is ceil(x * places / n).
    const size = (cell: number, cells: number, places: number) =>
      Math.ceil(((cell + 1) * places) / cells) - Math.ceil((cell * places) / cells);
    for (let c = 0; c < mass.length; c++) {
      kept[c] = mass[c]! > 0 ? Math.min(1, kept[c]! / mass[c]!) : 0;
      mass[c]! /= size(Math.floor(c / columns), rows, queries) * size(c % columns, columns, keys);
    }
    const inCells = (starts: Int32Array, cells: number, items: number) =>
      Float32Array.from(starts, start => (start * cells) / items);
    return {
      rows,
      columns,
      mass,
      kept,
      rowStarts: inCells(this.queryRank.starts, rows, this.of.input.queries),
      columnStarts: inCells(this.keyRank.starts, columns, this.of.input.keys),
    };
  }
}

/** @throws RefusedError for a mechanism without buckets */
export async function bucketedHead(
  analysis: Analysis,
  { core, head, mechanism }: BucketParams,
  signal: AbortSignal,
): Promise<BucketedHead> {
  analysis.head(core, head);
  const { input } = await analysis.tensors(core);
  const attended = await analysis.attendLocally(mechanism, core, signal);
  const own = await analysis.ownTensors(mechanism, core, input, signal);
  const { extra } = attended;
  if (extra['buckets']) return { input, head, attended, assignment: hashed(extra, input, head) };
  if (extra['query_members'] && extra['key_members']) {
    return { input, head, attended, assignment: clustered(extra, own, input, head) };
  }
  throw new RefusedError(`The mechanism ${mechanism.name} has no buckets.`);
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

interface Ranks {
  rank: Int32Array;
  starts: Int32Array;
}

/** Position of each token when sorted by (bucket, position), tokens without a bucket last; and where buckets start. */
function rankByBucket(ids: Int32Array, count: number): Ranks {
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
  signal: AbortSignal,
  visit: (query: number, row: Float32Array) => void,
): Promise<void> {
  const step = Math.max(1, Math.floor(2 ** 20 / input.keys));
  for (let from = 0; from < input.queries; from += step) {
    await checkpoint(signal);
    const to = Math.min(input.queries, from + step);
    const mass = await denseRows(input, head, from, to, analysis.context(signal));
    for (let i = from; i < to; i++)
      visit(i, mass.subarray((i - from) * input.keys, (i - from + 1) * input.keys));
  }
}
