import { CHUNK, type Block } from '../attention/kernels/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/kernels/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { float32, floats, type Tensor } from '../runtime/tensor';
import type { Measure, MeasureValues } from './measure';

/** Mass by offset (key - position), summed over the queries of each head. */
export class MassByOffset implements Measure {
  readonly key = 'offsets';
  private readonly width: number;
  private readonly zero: number;
  private readonly sums: Float64Array;

  constructor(private readonly input: CoreInput) {
    // Positions run from keys - queries to keys - 1, so offsets run from 1 - keys to queries - 1.
    this.width = input.keys + input.queries - 1;
    this.zero = input.keys - 1;
    this.sums = new Float64Array(input.heads * this.width);
  }

  build(g: GraphBuilder, { chunks }: MeasureValues): void {
    // A product with a row of ones: faster than a reduction over rows.
    const rows = g.op('Reshape', [chunks, g.int([0, 0, -1])]);
    g.output('byOffset', g.op('MatMul', [g.input('ones', 'float32', [1, 'rows']), rows]));
  }

  feeds({ rows }: Block): Record<string, Tensor> {
    return { ones: float32(new Float32Array(rows).fill(1), [1, rows]) };
  }

  take({ block, head, heads, results }: BlockRun): void {
    const { sums } = this;
    const byOffset = floats(results['byOffset']!);
    const columns = (block.before + block.after) * CHUNK;
    const first = this.zero - block.before * CHUNK;
    const from = Math.max(0, -first);
    const to = Math.min(columns, this.width - first);
    for (let g = 0; g < heads; g++) {
      const base = (head + g) * this.width + first;
      for (let c = from; c < to; c++) sums[base + c]! += byOffset[g * columns + c]!;
    }
  }

  /** Summed mass of one head at an offset. */
  at(head: number, offset: number): number {
    const t = this.zero + offset;
    return t >= 0 && t < this.width ? this.sums[head * this.width + t]! : 0;
  }

  /** Summed mass of one head by distance |offset|: [max(keys, queries)]. */
  byDistance(head: number): Float64Array {
    const sums = new Float64Array(Math.max(this.input.keys, this.input.queries));
    for (let x = 0; x < sums.length; x++) sums[x] = this.at(head, x) + (x > 0 ? this.at(head, -x) : 0);
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
