import { CHUNK, type Block } from '../attention/kernels/blocks';
import type { BlockFold, BlockRun, BlockValues, Shapes } from '../attention/kernels/dense';
import type { GraphBuilder, Value } from '../runtime/graphBuilder';
import { int64, type Tensor } from '../runtime/tensor';

/** Values of one block that measures build upon. */
export interface MeasureValues extends BlockValues {
  /**
   * [heads, rows, chunks, CHUNK]: the probabilities by offset. Chunk c, entry t is offset (c - before) * CHUNK + t,
   * the same for all rows; rows last query first.
   */
  chunks: Value;
  /** The same of each row's mass on keys alone: other numbers only where a sink takes some. */
  chunksOfKeys: Value;
}

/** Something folded over blocks of attention rows: adds its reductions to the block's graph and collects them. */
export interface Measure {
  key: string;
  build(graph: GraphBuilder, values: MeasureValues): void;
  feeds?(block: Block): Record<string, Tensor>;
  /** Shapes of its large results, which are written to the same memory by every run. */
  shapes?(block: Block, heads: number): Shapes;
  take(run: BlockRun): void;
}

/** All measures in one pass: one graph, one walk. */
export function foldTogether(measures: readonly Measure[]): BlockFold {
  return {
    key: measures.map(measure => measure.key).join('+'),
    build(graph, values) {
      const layout = {
        size: graph.input('flatSize', 'int64', [1]),
        shape: graph.input('relativeShape', 'int64', [4]),
      };
      const chunks = byOffset(graph, values.probabilities, layout);
      const chunksOfKeys = values.sunk ? byOffset(graph, values.softmax, layout) : chunks;
      for (const measure of measures) measure.build(graph, { ...values, chunks, chunksOfKeys });
    },
    feeds(block) {
      const size = block.rows * (block.columns - 1);
      const feeds: Record<string, Tensor> = { flatSize: int64([size], [1]) };
      for (const measure of measures) Object.assign(feeds, measure.feeds?.(block));
      feeds['relativeShape'] = int64([0, block.rows, block.before + block.after, CHUNK], [4]);
      return feeds;
    },
    shapes: (block, heads) =>
      Object.assign({}, ...measures.map(measure => measure.shapes?.(block, heads))) as Shapes,
    take(run) {
      for (const measure of measures) measure.take(run);
    },
  };
}

type Layout = Record<'size' | 'shape', Value>;

/** Re-reads the block with one column less: offsets come to stand below one another (see attention/blocks.ts). */
function byOffset(graph: GraphBuilder, probabilities: Value, { size, shape }: Layout): Value {
  const flat = graph.op('Reshape', [probabilities, graph.int([0, -1])]);
  return graph.op('Reshape', [graph.op('Slice', [flat, graph.int([0]), size, graph.int([1])]), shape]);
}
