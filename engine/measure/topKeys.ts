import { CHUNK, type Block } from '../attention/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { floats, int64, type Tensor } from '../runtime/tensor';
import { queryIndex, type Measure, type MeasureValues } from './measure';

export const TOP_KEYS = 8;

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
    const chunk = g.ops('TopK', [largest, count], 2, { axis: -1 })[1]!;
    const index = g.op('Expand', [g.op('Unsqueeze', [chunk, g.int([3])]), g.int([1, 1, 1, CHUNK])]);
    const candidates = g.op('Reshape', [
      g.op('GatherElements', [chunks, index], { axis: 2 }),
      g.int([0, 0, -1]),
    ]);
    const [mass, at] = g.ops('TopK', [candidates, g.int([TOP_KEYS])], 2, { axis: -1 });
    g.output('topChunk', g.op('Cast', [chunk], { to: 1 }));
    g.output('topMass', mass!);
    g.output('topAt', g.op('Cast', [at!], { to: 1 }));
  }

  feeds({ before, after }: Block): Record<string, Tensor> {
    return { topChunkCount: int64([Math.min(TOP_KEYS, before + after)], [1]) };
  }

  take(run: BlockRun): void {
    const { block, results } = run;
    const chunk = floats(results['topChunk']!);
    const mass = floats(results['topMass']!);
    const at = floats(results['topAt']!);
    const chunks = Math.min(TOP_KEYS, block.before + block.after);
    for (let g = 0; g < run.group; g++) {
      for (let r = 0; r < block.rows; r++) {
        const row = g * block.rows + r;
        const to = queryIndex(run, g, r, this.input.queries) * TOP_KEYS;
        const position = block.lastPosition - r;
        for (let t = 0; t < TOP_KEYS && mass[row * TOP_KEYS + t]! > 0; t++) {
          const entry = at[row * TOP_KEYS + t]!;
          const offset =
            (chunk[row * chunks + Math.floor(entry / CHUNK)]! - block.before) * CHUNK + (entry % CHUNK);
          this.keys[to + t] = position + offset;
          this.mass[to + t] = mass[row * TOP_KEYS + t]!;
        }
      }
    }
  }
}
