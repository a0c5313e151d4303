import type { Block } from '../attention/kernels/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun, Shapes } from '../attention/kernels/dense';
import type { Thumbnail } from '../../shared/protocol/engine';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { float32, floats, type Tensor } from '../runtime/tensor';
import type { Measure, MeasureValues } from './measure';

const THUMBNAIL_SIZE = 48;

/**
 * Mass that each key receives, and the head's thumbnail: rows are summed by thumbnail row in the graph (one small
 * MatMul), the sums are spread over keys and thumbnail columns here.
 */
export class Received implements Measure {
  readonly key = 'received';
  /** [heads, keys] mass summed over queries. */
  readonly perKey: Float32Array;
  private readonly size: number;
  private readonly cells: Float64Array;
  /** Queries of every thumbnail row. */
  private readonly rows: Int32Array;
  /** The first key of every thumbnail column, and the number of keys. */
  private readonly firstKeys: Int32Array;

  constructor(private readonly input: CoreInput) {
    this.size = Math.min(THUMBNAIL_SIZE, input.queries, input.keys);
    this.rows = new Int32Array(this.size);
    this.perKey = new Float32Array(input.heads * input.keys);
    this.cells = new Float64Array(input.heads * this.size * this.size);
    this.firstKeys = Int32Array.from({ length: this.size + 1 }, (_, column) =>
      Math.ceil((column * input.keys) / this.size),
    );
  }

  build(g: GraphBuilder, { probabilities }: MeasureValues): void {
    const cellRows = g.input('cellRows', 'float32', ['cells', 'rows']);
    g.output('cellSums', g.op('MatMul', [cellRows, probabilities]));
  }

  feeds(block: Block): Record<string, Tensor> {
    const { first, count } = this.cellRange(block);
    const rows = new Float32Array(count * block.rows);
    for (let r = 0; r < block.rows; r++) {
      this.rows[this.cellRow(block.from + r)]!++;
      rows[(this.cellRow(block.from + block.rows - 1 - r) - first) * block.rows + r] = 1;
    }
    return { cellRows: float32(rows, [count, block.rows]) };
  }

  shapes(block: Block, heads: number): Shapes {
    return { cellSums: [heads, this.cellRange(block).count, block.columns] };
  }

  take({ block, head, heads, results }: BlockRun): void {
    const { keys } = this.input;
    const { cells, firstKeys, size } = this;
    const { first, count } = this.cellRange(block);
    const sums = floats(results['cellSums']!);
    const from = Math.max(0, block.firstKey);
    const to = Math.min(keys, block.firstKey + block.columns);
    for (let g = 0; g < heads; g++) {
      const perKey = this.perKey.subarray((head + g) * keys, (head + g + 1) * keys);
      for (let c = 0; c < count; c++) {
        const row = (g * count + c) * block.columns - block.firstKey;
        const at = ((head + g) * size + first + c) * size;
        for (let column = 0; column < size; column++) {
          const end = Math.min(to, firstKeys[column + 1]!);
          let cell = 0;
          for (let j = Math.max(from, firstKeys[column]!); j < end; j++) {
            const sum = sums[row + j]!;
            perKey[j]! += sum;
            cell += sum;
          }
          cells[at + column]! += cell;
        }
      }
    }
  }

  thumbnail(head: number): Thumbnail {
    const { size } = this;
    const cells = this.cells.slice(head * size * size, (head + 1) * size * size);
    // Thumbnail rows may differ by one query: compare what one query spends.
    let heaviest = 0;
    for (let t = 0; t < cells.length; t++) {
      cells[t]! /= Math.max(1, this.rows[Math.floor(t / size)]!);
      heaviest = Math.max(heaviest, cells[t]!);
    }
    const pixels = new Uint8Array(cells.length);
    if (heaviest > 0) {
      for (let t = 0; t < cells.length; t++) pixels[t] = Math.round(255 * Math.sqrt(cells[t]! / heaviest));
    }
    return { size, pixels };
  }

  private cellRow(query: number): number {
    return Math.floor((query * this.size) / this.input.queries);
  }

  private cellRange(block: Block): { first: number; count: number } {
    const first = this.cellRow(block.from);
    return { first, count: this.cellRow(block.from + block.rows - 1) - first + 1 };
  }
}
