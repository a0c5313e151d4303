import { kvHead, type CoreInput } from '../core';
import type { CompressionOptions, Slots } from './compressedMemory';
import { sequence } from './lists';
import type { AttendContext } from '../mechanism';
import { runTiles, type TileResult } from './tiles';

/** Blocks of queries of one head that are looked at, evenly spaced. */
const SAMPLED_BLOCKS = 16;

/**
 * What compressing a memory loses in one head (Rae et al. 2020, section 3.2). Attention reconstruction: the queries'
 * attention over the old tokens themselves against that over their slots, by content alone; relative Frobenius error.
 */
export class AttentionReconstruction {
  private difference = 0;
  private norm = 0;
  private block = 0;
  private readonly step: number;

  constructor(
    private readonly input: CoreInput,
    private readonly head: number,
    rows: number,
  ) {
    this.step = Math.ceil(Math.ceil(input.queries / rows) / SAMPLED_BLOCKS);
  }

  /** Queries from .. to-1; `compressed`: their attention over the slots, by content alone. */
  async add(
    from: number,
    to: number,
    { tokens, end }: Slots,
    compressed: () => TileResult | Promise<TileResult>,
    context: AttendContext,
  ): Promise<void> {
    if (this.block++ % this.step !== 0) return;
    const keys = sequence(tokens[0]!, end);
    const tiles = { head: this.head, rows: to - from, columns: keys.length, bias: null };
    const full = await runTiles(this.input, { ...tiles, queries: sequence(from, to), keys }, context);
    const { output } = await compressed();
    for (let t = 0; t < full.output.length; t++) {
      this.difference += (full.output[t]! - output[t]!) ** 2;
      this.norm += full.output[t]! ** 2;
    }
  }

  /** 0 when nothing was compressed. */
  get error(): number {
    return this.norm === 0 ? 0 : Math.sqrt(this.difference / this.norm);
  }
}

/**
 * Auto-encoding: the old keys and values against their slots, each said again for every token that it stands for (the
 * paper trains a decoder); tokens that were dropped are 0. Root mean square of the two relative errors.
 */
export function autoencodingError(
  input: CoreInput,
  head: number,
  slots: Slots,
  { rate, pool }: CompressionOptions,
): number {
  if (slots.count === 0) return 0;
  const kv = kvHead(input, head);
  const width = pool === 'most-used' ? 1 : rate;
  const relative = (data: Float32Array, made: Float32Array, size: number) => {
    const first = slots.tokens[0]!;
    const again = new Float32Array((slots.end - first) * size);
    slots.tokens.forEach((token, s) => {
      const slot = made.subarray(s * size, (s + 1) * size);
      for (let t = 0; t < width; t++) again.set(slot, (token + t - first) * size);
    });
    const at = (kv * input.keys + first) * size;
    let difference = 0;
    let norm = 0;
    for (let t = 0; t < again.length; t++) {
      difference += (data[at + t]! - again[t]!) ** 2;
      norm += data[at + t]! ** 2;
    }
    return norm === 0 ? 0 : difference / norm;
  };
  return Math.sqrt((relative(input.k, slots.k, input.dim) + relative(input.v, slots.v, input.valueDim)) / 2);
}
