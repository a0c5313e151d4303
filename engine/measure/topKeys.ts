import { CHUNK, type Block } from '../attention/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/dense';
import type { GraphBuilder, Value } from '../runtime/graphBuilder';
import { ElementType } from '../runtime/onnxProto';
import { floats, int64, type Tensor } from '../runtime/tensor';
import { queryIndex, type Measure, type MeasureValues } from './measure';

export const TOP_KEYS = 8;
const SIZE = CHUNK; // module bindings are slow in inner loops when the code is not bundled

/**
 * The heaviest keys of every query. The best eight entries lie in the eight chunks with the largest maxima,
 * so only those are sorted.
 */
export class TopKeys implements Measure {
  readonly key = 'top';
  /** [heads, queries, TOP_KEYS], heaviest first; -1 where fewer keys have any mass. */
  readonly keys: Int32Array;
  readonly mass: Float32Array;

  constructor(private readonly input: CoreInput) {
    const length = input.heads * input.queries * TOP_KEYS;
    this.keys = new Int32Array(length).fill(-1);
    this.mass = new Float32Array(length);
  }

  build(g: GraphBuilder, { chunks }: MeasureValues): void {
    const count = g.input('topChunkCount', 'int64', [1]);
    const largest = g.op('ReduceMax', [chunks, g.int([-1])], { keepdims: 0 });
    const [peak, chunk] = g.ops('TopK', [largest, count], 2, { axis: -1 }) as [Value, Value];
    const at = g.op('Unsqueeze', [chunk, g.int([3])]);
    g.output('topPeak', peak);
    g.output('topChunk', g.op('Cast', [chunk], { to: ElementType.float32 }));
    g.output('topEntries', g.op('GatherND', [chunks, at], { batch_dims: 2 }));
  }

  feeds({ before, after }: Block): Record<string, Tensor> {
    return { topChunkCount: int64([Math.min(TOP_KEYS, before + after)], [1]) };
  }

  large({ rows, before, after }: Block, heads: number): Record<string, readonly number[]> {
    return { topEntries: [heads, rows, Math.min(TOP_KEYS, before + after), CHUNK] };
  }

  take(run: BlockRun): void {
    const { block } = run;
    const count = Math.min(TOP_KEYS, block.before + block.after);
    const chunk = floats(run.results['topChunk']!);
    const peak = floats(run.results['topPeak']!);
    const entries = floats(run.results['topEntries']!);
    for (let g = 0; g < run.heads; g++) {
      for (let r = 0; r < block.rows; r++) {
        const row = (g * block.rows + r) * count;
        const to = queryIndex(run, g, r, this.input.queries) * TOP_KEYS;
        const firstKey = block.lastPosition - r - block.before * SIZE;
        // Eight chunks have eight peaks, so nothing below the lowest peak can be among the best eight.
        const floor = count < TOP_KEYS ? 0 : peak[row + count - 1]!;
        for (let c = 0; c < count; c++) {
          this.insert(to, entries, (row + c) * SIZE, firstKey + chunk[row + c]! * SIZE, floor);
        }
      }
    }
  }

  /** Sorts a chunk's entries into the eight places from `to` on; of equal ones the first stays first. */
  private insert(to: number, entries: Float32Array, from: number, firstKey: number, floor: number): void {
    const { keys, mass } = this;
    const last = to + TOP_KEYS - 1;
    for (let t = 0; t < SIZE; t++) {
      const entry = entries[from + t]!;
      if (entry < floor || entry <= mass[last]!) continue;
      let place = last;
      for (; place > to && mass[place - 1]! < entry; place--) {
        mass[place] = mass[place - 1]!;
        keys[place] = keys[place - 1]!;
      }
      mass[place] = entry;
      keys[place] = firstKey + t;
    }
  }
}
