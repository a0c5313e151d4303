import type { AttendContext } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import { float32, floats } from '../../runtime/tensor';

/** Elements of one run's similarities. */
const RANK_ELEMENTS = 2 ** 23;

/**
 * The `window` rows nearest to each centroid by the dot product of the unit-length row, the lower index on ties.
 * `rows` [n, dim], `centroids` [clusters, dim]. @returns [clusters, min(window, n)], ascending indices.
 */
export async function nearestMembers(
  rows: Float32Array,
  centroids: Float32Array,
  dim: number,
  window: number,
  context: AttendContext,
): Promise<Int32Array> {
  const count = rows.length / dim;
  const clusters = centroids.length / dim;
  const size = Math.min(window, count);
  const members = new Int32Array(clusters * size);
  const session = await context.runtime.graph('similarity', g => {
    const c = g.input('c', 'float32', ['k', 'd']);
    const x = g.input('x', 'float32', ['n', 'd']);
    const squares = g.op('ReduceSum', [g.op('Mul', [x, x]), g.int([-1])], { keepdims: 1 });
    const norm = g.op('Max', [g.op('Sqrt', [squares]), g.float(1e-30)]);
    g.output('similarity', g.op('Gemm', [c, g.op('Div', [x, norm])], { transB: 1 }));
  });
  const step = Math.max(1, Math.floor(RANK_ELEMENTS / count));
  for (let from = 0; from < clusters; from += step) {
    await checkpoint(context.signal);
    const to = Math.min(clusters, from + step);
    const { similarity } = await session.run({
      c: float32(centroids.subarray(from * dim, to * dim), [to - from, dim]),
      x: float32(rows, [count, dim]),
    });
    const all = floats(similarity!);
    for (let c = from; c < to; c++) {
      const row = all.subarray((c - from) * count, (c - from + 1) * count);
      largest(row, size, members.subarray(c * size, (c + 1) * size));
    }
  }
  return members;
}

/** What passes go over, from row to row: no one of them waits for anything. */
let found = new Int32Array(0);
let picked = new Float32Array(0);

/** Room for so many of each. */
function makeRoom(count: number): void {
  if (found.length >= count) return;
  found = new Int32Array(2 * count);
  picked = new Float32Array(2 * count);
}

/**
 * Ascending indices of the `size` largest values, the lower index on ties. One pass over the values: a threshold
 * guessed from a sample leaves few candidates to sort (much faster than the graph's TopK for long rows).
 */
export function largest(values: Float32Array, size: number, into: Int32Array): void {
  const candidates = candidatesFor(values, size);
  takeLargest(values, candidates, thresholdOf(values, candidates, size), size, into);
}

/**
 * The same where values nearer to each other than the share `close` of the largest absolute one (and of 1) cannot be told apart: false
 * where that leaves a doubt which they are, or fewer than `size` are above -Infinity.
 */
export function clearlyLargest(values: Float32Array, size: number, into: Int32Array, close: number): boolean {
  if (values.length < size) return false;
  const candidates = candidatesFor(values, size);
  const threshold = thresholdOf(values, candidates, size);
  if (threshold === -Infinity) return false;
  takeLargest(values, candidates, threshold, size, into);
  let top = 1;
  for (let t = 0; t < size; t++) top = Math.max(top, Math.abs(values[into[t]!]!));
  const margin = close * top;
  const isDoubtful = (value: number) => Math.abs(value - threshold) <= margin;
  let doubtful = 0;
  // What is no candidate may lie within the margin.
  if (candidates.least > threshold - margin) {
    for (let i = 0; i < values.length; i++) if (isDoubtful(values[i]!)) doubtful++;
  } else {
    for (let t = 0; t < candidates.count; t++) if (isDoubtful(values[found[t]!]!)) doubtful++;
  }
  for (let t = 0; t < size; t++) if (isDoubtful(values[into[t]!]!)) doubtful--;
  return doubtful === 0;
}

/** So many of `found` are the ascending indices of all values that are not below `least`. */
interface Candidates {
  least: number;
  count: number;
}

function candidatesFor(values: Float32Array, size: number): Candidates {
  makeRoom(values.length);
  const least = guessThreshold(values, size);
  const count = atLeast(values, least);
  return count >= size ? { least, count } : { least: -Infinity, count: atLeast(values, -Infinity) };
}

/** The least of the `size` largest values. */
function thresholdOf(values: Float32Array, { count }: Candidates, size: number): number {
  for (let t = 0; t < count; t++) picked[t] = values[found[t]!]!;
  return selectLargest(picked, size, count);
}

function takeLargest(
  values: Float32Array,
  { count }: Candidates,
  threshold: number,
  size: number,
  into: Int32Array,
): void {
  let ties = size;
  for (let t = 0; t < count; t++) if (values[found[t]!]! > threshold) ties--;
  let taken = 0;
  for (let t = 0; t < count; t++) {
    const i = found[t]!;
    const value = values[i]!;
    if (value < threshold || (value === threshold && ties-- <= 0)) continue;
    into[taken++] = i;
  }
}

/** Values that tell enough of how all of them lie: if too few reach the guess, all are looked at. */
const SAMPLE = 256;

/** A value that somewhat more than `size` of the values are expected to reach. */
function guessThreshold(values: Float32Array, size: number): number {
  const stride = Math.floor(values.length / SAMPLE);
  if (stride < 2 || values.length < 4 * size) return -Infinity;
  const count = Math.ceil(values.length / stride);
  for (let t = 0; t < count; t++) picked[t] = values[t * stride]!;
  return selectLargest(picked, Math.min(count, Math.ceil((1.5 * size) / stride) + 9), count);
}

/** The k-th largest of the first `count` values (k from 1), by quickselect; reorders them. */
export function selectLargest(values: Float32Array | Float64Array, k: number, count = values.length): number {
  let low = 0;
  let high = count - 1;
  const target = k - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1]!;
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! > pivot) i++;
      while (values[j]! < pivot) j--;
      if (i > j) break;
      const swap = values[i]!;
      values[i++] = values[j]!;
      values[j--] = swap;
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else break;
  }
  return values[target]!;
}

/** Ascending indices of the values that reach the threshold, in `found`; returns how many there are. */
function atLeast(values: Float32Array, threshold: number): number {
  const into = found;
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! >= threshold) into[count++] = i;
  return count;
}

/** Which clusters hold each token: a list and a set of bits per token, and their number. */
export class Memberships {
  readonly counts: Int32Array;
  /** Clusters of all tokens, one token after the other; `starts[token]` is its first. */
  private readonly lists: Int32Array;
  private readonly starts: Int32Array;
  private readonly words: number;
  private readonly bits: Int32Array;

  constructor(
    members: Int32Array,
    readonly clusters: number,
    tokens: number,
  ) {
    this.counts = new Int32Array(tokens);
    this.lists = new Int32Array(members.length);
    this.starts = new Int32Array(tokens + 1);
    this.words = Math.ceil(clusters / 32);
    this.bits = new Int32Array(tokens * this.words);
    for (const token of members) this.starts[token + 1]!++;
    for (let t = 0; t < tokens; t++) this.starts[t + 1]! += this.starts[t]!;
    const size = members.length / clusters;
    members.forEach((token, t) => {
      const cluster = Math.floor(t / size);
      this.lists[this.starts[token]! + this.counts[token]!++] = cluster;
      this.bits[token * this.words + (cluster >> 5)]! |= 1 << (cluster & 31);
    });
  }

  /** In how many clusters `token` here and `other` there are together. */
  together(token: number, there: Memberships, other: number): number {
    const { starts, lists } = this;
    const first = other * there.words;
    let count = 0;
    for (let at = starts[token]!; at < starts[token + 1]!; at++) {
      const cluster = lists[at]!;
      count += (there.bits[first + (cluster >> 5)]! >> (cluster & 31)) & 1;
    }
    return count;
  }

  /** Ascending. */
  clustersOf(token: number): Int32Array {
    return this.lists.subarray(this.starts[token]!, this.starts[token + 1]!);
  }
}
