import { CHUNK, type Block } from '../attention/kernels/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun, Shapes } from '../attention/kernels/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { float32, floats, type Tensor } from '../runtime/tensor';
import type { Measure, MeasureValues } from './measure';

/** Shorter texts are not cut again. */
const LEAST_TO_CUT = 128;

/**
 * Mass by offset (key - position), summed over the queries of each head. In a causal text of its own, the first quarter and
 * the first half are texts as well: their sums are kept apart, to see what grows with the length.
 */
export class MassByOffset implements Measure {
  readonly key: string;
  /** Queries of each of the texts, shortest first; the last is the whole. */
  readonly lengths: readonly number[];
  private readonly width: number;
  private readonly zero: number;
  /** [heads, lengths, width]: of the queries that each text has beyond the shorter one. */
  private readonly sums: Float64Array;

  constructor(private readonly input: CoreInput) {
    const { heads, queries, keys, rule } = input;
    // Positions run from keys - queries to keys - 1, so offsets run from 1 - keys to queries - 1.
    this.width = keys + queries - 1;
    this.zero = keys - 1;
    const cut = rule.mask.causal && queries === keys && queries >= LEAST_TO_CUT;
    this.lengths = cut ? [queries >> 2, queries >> 1, queries] : [queries];
    this.key = `offsets ${this.lengths.length}`;
    this.sums = new Float64Array(heads * this.lengths.length * this.width);
  }

  build(g: GraphBuilder, { chunks }: MeasureValues): void {
    // A product with rows of ones: faster than a reduction over rows.
    const rows = g.op('Reshape', [chunks, g.int([0, 0, -1])]);
    g.output('byOffset', g.op('MatMul', [g.input('ones', 'float32', ['texts', 'rows']), rows]));
  }

  feeds({ from, rows }: Block): Record<string, Tensor> {
    const ones = new Float32Array(this.lengths.length * rows);
    for (let r = 0; r < rows; r++) {
      // Rows come last query first.
      const query = from + rows - 1 - r;
      ones[this.lengths.findIndex(length => query < length) * rows + r] = 1;
    }
    return { ones: float32(ones, [this.lengths.length, rows]) };
  }

  shapes({ before, after }: Block, heads: number): Shapes {
    return { byOffset: [heads, this.lengths.length, (before + after) * CHUNK] };
  }

  take({ block, head, heads, results }: BlockRun): void {
    const { sums } = this;
    const byOffset = floats(results['byOffset']!);
    const columns = (block.before + block.after) * CHUNK;
    const first = this.zero - block.before * CHUNK;
    const from = Math.max(0, -first);
    const to = Math.min(columns, this.width - first);
    const texts = this.lengths.length;
    for (let g = 0; g < heads * texts; g++) {
      const base = (head * texts + g) * this.width + first;
      for (let c = from; c < to; c++) sums[base + c]! += byOffset[g * columns + c]!;
    }
  }

  /** Summed mass of one head at an offset, in a text (default: the whole). */
  at(head: number, offset: number, text = this.lengths.length - 1): number {
    const t = this.zero + offset;
    if (t < 0 || t >= this.width) return 0;
    let sum = 0;
    for (let part = 0; part <= text; part++) {
      sum += this.sums[(head * this.lengths.length + part) * this.width + t]!;
    }
    return sum;
  }

  /** Summed mass of one head by distance |offset|: [max(keys, queries)]. */
  byDistance(head: number, text = this.lengths.length - 1): Float64Array {
    const sums = new Float64Array(Math.max(this.input.keys, this.input.queries));
    for (let x = 0; x < sums.length; x++) {
      sums[x] = this.at(head, x, text) + (x > 0 ? this.at(head, -x, text) : 0);
    }
    return sums;
  }
}

/** Edges of the distance bins: 0, 1, 2, 3, 4, 6, 8, 12, 16, ... until `longest` is covered; one more than bins. */
export function distanceEdges(longest: number): Int32Array {
  const edges = [0, 1, 2, 3];
  for (let step = 4; edges[edges.length - 1]! <= longest; step *= 2) edges.push(step, step + step / 2);
  while (edges.length > 2 && edges[edges.length - 2]! > longest) edges.pop();
  return Int32Array.from(edges);
}

/** Sums `byDistance` into bins: bin b holds distances edges[b] .. edges[b+1] - 1. */
export function binDistances(byDistance: Float64Array, edges: Int32Array): Float32Array {
  const mass = new Float32Array(edges.length - 1);
  for (let b = 0; b < mass.length; b++) {
    let sum = 0;
    for (let x = edges[b]!; x < Math.min(edges[b + 1]!, byDistance.length); x++) sum += byDistance[x]!;
    mass[b] = sum;
  }
  return mass;
}
