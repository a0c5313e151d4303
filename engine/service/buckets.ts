import type { Analysis } from './analysis';
import { HeaviestPairs } from './heaviestPairs';
import { SplitRow } from './splitRow';
import { jointProjection } from './projection';
import { kvHead, ownRun, visibleKeys, type CoreInput } from '../attention/core';
import { withoutNative } from '../attention/whatIf';
import { denseRows } from '../attention/kernels/dense';
import { someHeads } from '../attention/kernels/subset';
import type { Attended, BucketedRun, Bucketing, SparseRow } from '../attention/mechanism';
import { settledByTensors } from '../attention/ownTensors';
import { findMechanism } from '../attention/registry';
import { unitRows } from '../attention/kernels/tied';
import { refused } from '../errors';
import type {
  BucketMap,
  BucketMapParams,
  BucketParams,
  Buckets,
  MechanismParams,
} from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';

/** One head under a mechanism with buckets. */
export interface BucketedHead {
  input: CoreInput;
  head: number;
  attended: Attended;
  assignment: Bucketing;
  /** Parameters that its own tensors have settled. */
  settled: MechanismParams;
}

export async function buckets(
  analysis: Analysis,
  params: BucketParams,
  signal: AbortSignal,
): Promise<Buckets> {
  const bucketed = await askedHead(analysis, params, signal);
  const { input, head, attended } = bucketed;
  const tally = new BucketTally(bucketed);
  const split = new SplitRow(input.keys);
  await eachDenseRow(analysis, input, head, signal, (query, row) => {
    const { from, to } = visibleKeys(input, query);
    const kept = attended.row(head, query);
    tally.add(query, kept, split.split(row, kept, from, to), from, to);
  });
  return tally.result();
}

/** What buckets keep and miss, from the head's dense rows. */
export class BucketTally {
  private readonly missed = new HeaviestPairs(24);
  private recall = 0;
  private chance = 0;
  private rows = 0;
  private uncovered = 0;

  constructor(private readonly of: BucketedHead) {}

  /** @param split the query's mass under the mechanism's row, of the keys from .. to-1 that it may see */
  add(query: number, { keys }: SparseRow, { lost, worst, kept }: SplitRow, from: number, to: number): void {
    if (keys.length === 0) this.uncovered++;
    // A query whose dense row has no mass has none to lose.
    if (to <= from || (kept === 0 && lost[worst] === 0)) return;
    this.rows++;
    this.recall += Math.min(1, kept);
    this.chance += keys.length / (to - from);
    if (this.missed.wants(lost[worst]!))
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
      settled: this.of.settled,
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
  const bucketed = await askedHead(analysis, params, signal);
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
      const key = keys[t]!;
      kept[r + columnOf[key]!]! += row[key]! * (mask ? mask[t]! : 1);
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

async function askedHead(
  analysis: Analysis,
  params: BucketParams,
  signal: AbortSignal,
): Promise<BucketedHead> {
  analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core, signal);
  const found = await bucketedHead(analysis, params, input, signal);
  if (found) return found;
  const own = ownRun(input, params.mechanism.key) && input.native!.partOf(params.head).mechanism;
  throw own ? refused('noBucketsOwn', own) : refused('noBuckets', params.mechanism.name);
}

/** Null for a mechanism without buckets, and for a head in which the model itself has something else. */
export async function bucketedHead(
  analysis: Analysis,
  { core, head, mechanism }: BucketParams,
  input: CoreInput,
  signal: AbortSignal,
): Promise<BucketedHead | null> {
  const attended = await analysis.attendLocally(mechanism, core, input, signal);
  const run = ownRun(input, mechanism.key)
    ? nativeRun(input, head)
    : {
        mechanism: mechanism.name,
        of: { input, head, attended, own: await analysis.ownTensors(mechanism, core, input, signal) },
      };
  const { info, tensors = {}, buckets } = findMechanism(run.mechanism);
  const assignment = buckets?.(run.of);
  if (!assignment) return null;
  return { input, head, attended, assignment, settled: settledByTensors(info, tensors, run.of.own) };
}

/** A head as the model itself runs it, with what it learned. */
function nativeRun(input: CoreInput, head: number): { mechanism: string; of: BucketedRun } {
  const { heads, mechanism, attended, own } = input.native!.partOf(head);
  const alone = someHeads(withoutNative(input), heads);
  return { mechanism, of: { input: alone, head: heads.indexOf(head), attended, own } };
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
