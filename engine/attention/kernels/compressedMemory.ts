import { kvHead, type CoreInput } from '../core';
import { denseRows } from './dense';
import type { AttendContext } from '../mechanism';
import { largest } from './membership';
import type { Segment } from './segments';

/** Queries whose attention is added up at once. */
const ROWS = 64;

/** What a Compressive Transformer keeps of old tokens (Rae et al. 2020, section 3.1). */
export interface CompressionOptions {
  /** Tokens before a segment that are not compressed yet. */
  memory: number;
  /** Slots. */
  compressed: number;
  /** Tokens for each slot. */
  rate: number;
  pool: string;
  /** [dim, dim, rate], out x in x position within the slot. */
  conv: Float32Array | null;
  /** Slots that were made elsewhere, [heads, slots, width], and how many numbers each head has of them. */
  slots: { k: Float32Array; v: Float32Array; sizeK: number; sizeV: number } | null;
}

/** The compressed memory of one segment. */
export interface Slots {
  count: number;
  /** [count, dim] and [count, valueDim] */
  k: Float32Array;
  v: Float32Array;
  /** First token of each slot, and how many it stands for. */
  tokens: Int32Array;
  size: number;
  /** The slots were made of the tokens up to this one. */
  end: number;
}

/** The compressed memory of one head, from segment to segment. */
export class CompressedMemory {
  /** Pooled keys and values for every group of `rate` tokens from the beginning; none for `most-used`. */
  private readonly pooled: { k: Float32Array; v: Float32Array } | null;
  /** `most-used`: tokens chosen among those before `done`, ascending. */
  private chosen: number[] = [];
  private done = 0;
  private last: Segment | null = null;

  constructor(
    private readonly input: CoreInput,
    private readonly head: number,
    private readonly options: CompressionOptions,
  ) {
    const poolRows = (data: Float32Array, width: number) =>
      poolSlots(this.rowsOf(data, width), width, options);
    const given = options.slots;
    if (given) {
      const ofHead = (data: Float32Array, size: number) => data.subarray(head * size, (head + 1) * size);
      this.pooled = { k: ofHead(given.k, given.sizeK), v: ofHead(given.v, given.sizeV) };
    } else
      this.pooled =
        options.pool === 'most-used'
          ? null
          : { k: poolRows(input.k, input.dim), v: poolRows(input.v, input.valueDim) };
  }

  /** The memory as a segment finds it; segments come one after the other. */
  async before(segment: Segment, context: AttendContext): Promise<Slots> {
    const { dim, valueDim } = this.input;
    const { rate, compressed, memory } = this.options;
    const old = Math.max(0, segment.start - memory);
    const all = Math.floor(old / rate);
    const count = Math.min(all, compressed);
    if (this.pooled) {
      return {
        count,
        k: this.pooled.k.subarray((all - count) * dim, all * dim),
        v: this.pooled.v.subarray((all - count) * valueDim, all * valueDim),
        tokens: Int32Array.from({ length: count }, (_, t) => (all - count + t) * rate),
        size: rate,
        end: all * rate,
      };
    }
    await this.chooseMostUsed(this.last ?? segment, old, all - this.chosen.length, context);
    this.last = segment;
    const tokens = Int32Array.from(this.chosen.slice(all - count));
    const pick = (data: Float32Array, width: number) => {
      const from = this.rowsOf(data, width);
      const rows = new Float32Array(count * width);
      tokens.forEach((token, t) => rows.set(from.subarray(token * width, (token + 1) * width), t * width));
      return rows;
    };
    return { count, k: pick(this.input.k, dim), v: pick(this.input.v, valueDim), tokens, size: 1, end: old };
  }

  /**
   * Of the tokens that fall out of the memory, `count` go on: those that got most mass from the segment that still had
   * them (from the first segment itself where keys come before it). Linear in the text: no segment looks further back
   * than to what falls out.
   */
  private async chooseMostUsed(
    { from, to, start }: Segment,
    old: number,
    count: number,
    context: AttendContext,
  ): Promise<void> {
    const { input, head, done } = this;
    if (count <= 0) return;
    const { dim, valueDim, queries, rule } = input;
    const keys = start + to - from - done;
    const rows = (data: Float32Array, width: number) =>
      this.rowsOf(data, width).subarray(done * width, (done + keys) * width);
    const seen: CoreInput = {
      ...input,
      heads: 1,
      kvHeads: 1,
      queries: to - from,
      keys,
      q: input.q.subarray((head * queries + from) * dim, (head * queries + to) * dim),
      k: rows(input.k, dim),
      v: rows(input.v, valueDim),
      rule: { ...rule, scale: rule.scale.subarray(head, head + 1) },
    };
    const use = new Float32Array(old - done);
    for (let first = 0; first < seen.queries; first += ROWS) {
      const last = Math.min(seen.queries, first + ROWS);
      const mass = await denseRows(seen, 0, first, last, context);
      for (let r = 0; r < last - first; r++) {
        for (let j = 0; j < use.length; j++) use[j]! += mass[r * keys + j]!;
      }
    }
    const chosen = new Int32Array(count);
    largest(use, count, chosen);
    for (const token of chosen) this.chosen.push(done + token);
    this.done = old;
  }

  private rowsOf(data: Float32Array, width: number): Float32Array {
    const kv = kvHead(this.input, this.head);
    return data.subarray(kv * this.input.keys * width, (kv + 1) * this.input.keys * width);
  }
}

/** [floor(rows / rate), width] */
function poolSlots(
  rows: Float32Array,
  width: number,
  { rate, pool: kind, conv }: CompressionOptions,
): Float32Array {
  const slots = Math.floor(rows.length / width / rate);
  const pooled = new Float32Array(slots * width);
  for (let s = 0; s < slots; s++) {
    for (let c = 0; c < width; c++) {
      let value = kind === 'max' ? -Infinity : 0;
      for (let t = 0; t < rate; t++) {
        const at = (s * rate + t) * width;
        if (kind === 'mean') value += rows[at + c]! / rate;
        else if (kind === 'max') value = Math.max(value, rows[at + c]!);
        else for (let x = 0; x < width; x++) value += conv![(c * width + x) * rate + t]! * rows[at + x]!;
      }
      pooled[s * width + c] = value;
    }
  }
  return pooled;
}
