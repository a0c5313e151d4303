import type { SparseRow } from '../attention/mechanism';

/** One query's dense mass, split into what a mechanism keeps and what it loses; used again from row to row. */
export class SplitRow {
  /** Mass lost by key; of the row's visible keys only. */
  readonly lost: Float32Array;
  kept = 0;
  /** The key that loses most, the first of equals; meaningless where the query sees nothing. */
  worst = 0;

  constructor(keys: number) {
    this.lost = new Float32Array(keys);
  }

  /** @param row dense mass of the query over all keys, of which it sees from .. to-1 */
  split(row: Float32Array, { keys, mask }: SparseRow, from: number, to: number): this {
    const { lost } = this;
    lost.set(row.subarray(from, to), from);
    let kept = 0;
    for (let t = 0; t < keys.length; t++) {
      const key = keys[t]!;
      const share = mask ? mask[t]! : 1;
      kept += lost[key]! * share;
      lost[key]! *= 1 - share;
    }
    let worst = from;
    let most = lost[from]!;
    for (let key = from + 1; key < to; key++) {
      if (lost[key]! <= most) continue;
      worst = key;
      most = lost[key]!;
    }
    this.kept = kept;
    this.worst = worst;
    return this;
  }
}
