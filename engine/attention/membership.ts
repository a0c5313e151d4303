import type { AttendContext } from './mechanism';
import { checkpoint } from '../runtime/cancellation';
import { float32, lowWords } from '../runtime/tensor';

/** Elements of one run's similarities. */
const RANK_ELEMENTS = 2 ** 21;

/**
 * The `window` rows nearest to each centroid by dot product, the lower index on ties.
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
  const session = await context.runtime.graph('members', g => {
    const c = g.input('c', 'float32', ['k', 'd']);
    const x = g.input('x', 'float32', ['n', 'd']);
    const w = g.input('w', 'int64', [1]);
    const similarity = g.op('Gemm', [c, x], { transB: 1 });
    g.output('members', g.ops('TopK', [similarity, w], 2, { axis: 1 })[1]!, 'int64');
  });
  const step = Math.max(1, Math.floor(RANK_ELEMENTS / count));
  for (let from = 0; from < clusters; from += step) {
    await checkpoint(context.cancellation);
    const to = Math.min(clusters, from + step);
    const { members: found } = await session.run({
      c: float32(centroids.subarray(from * dim, to * dim), [to - from, dim]),
      x: float32(rows, [count, dim]),
      w: { type: 'int64', data: BigInt64Array.of(BigInt(size)), dims: [1] },
    });
    const low = lowWords(found!);
    for (let t = 0; t < (to - from) * size; t++) members[from * size + t] = low[2 * t]!;
  }
  for (let c = 0; c < clusters; c++) members.subarray(c * size, (c + 1) * size).sort();
  return members;
}

/** Which clusters hold each token: a set of bits per token, and their number. */
export class Memberships {
  readonly counts: Int32Array;
  private readonly words: number;
  private readonly bits: Int32Array;

  constructor(
    members: Int32Array,
    readonly clusters: number,
    tokens: number,
  ) {
    this.counts = new Int32Array(tokens);
    this.words = Math.ceil(clusters / 32);
    this.bits = new Int32Array(tokens * this.words);
    const size = members.length / clusters;
    members.forEach((token, t) => {
      const cluster = Math.floor(t / size);
      this.counts[token]!++;
      this.bits[token * this.words + (cluster >> 5)]! |= 1 << (cluster & 31);
    });
  }

  /** In how many clusters `token` here and `other` there are together. */
  together(token: number, there: Memberships, other: number): number {
    let count = 0;
    for (let w = 0; w < this.words; w++) {
      let common = this.bits[token * this.words + w]! & there.bits[other * this.words + w]!;
      for (; common !== 0; common &= common - 1) count++;
    }
    return count;
  }

  *clustersOf(token: number): Generator<number> {
    for (let c = 0; c < this.clusters; c++) {
      if ((this.bits[token * this.words + (c >> 5)]! >> (c & 31)) & 1) yield c;
    }
  }
}
