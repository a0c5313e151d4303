import { CHUNK, type Block } from '../attention/kernels/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun, Shapes } from '../attention/kernels/dense';
import type { GraphBuilder, Value } from '../runtime/graphBuilder';
import { ElementType } from '../runtime/onnxProto';
import { float32, floats, int32, int64, type Tensor } from '../runtime/tensor';
import type { Measure, MeasureValues } from './measure';

export const SPAN_SHARES = [0.9, 0.95, 0.99] as const;
const SHARES = SPAN_SHARES.length;
const SIZE = CHUNK; // module bindings are slow in inner loops when the code is not bundled

/**
 * Span of every query: the smallest distance d such that the mass within |key - position| <= d is at least the share of what its keys get.
 *
 * Two levels. The graph sums chunks of offsets; the ring of chunks (one on each side) that holds the quantile is searched, and
 * its entries are walked here, so the result is exact.
 * Ring k: offsets -32(k+1) .. -(32k+1) on the left, 32k .. 32k+31 on the right.
 *
 * On a processor the rings are searched here, as the probabilities lie in its memory; from a device, where they are (`there`), only
 * the entries of those rings come back.
 */
export class Spans implements Measure {
  readonly key: string;
  /** One per share: [heads, queries]; -1 where nothing is visible. */
  readonly perQuery: Float32Array[];

  constructor(
    private readonly input: CoreInput,
    private readonly search: 'here' | 'there' = 'here',
  ) {
    const length = input.heads * input.queries;
    this.key = `spans ${search}`;
    this.perQuery = SPAN_SHARES.map(() => new Float32Array(length).fill(-1));
  }

  build(g: GraphBuilder, { chunksOfKeys: chunks }: MeasureValues): void {
    const sums = g.op('ReduceSum', [chunks, g.int([-1])], { keepdims: 0 });
    if (this.search === 'there') return buildSearch(g, chunks, sums);
    g.output('chunkSums', sums);
    g.output('chunks', chunks);
  }

  feeds(block: Block): Record<string, Tensor> {
    return this.search === 'there' ? searchFeeds(block) : {};
  }

  shapes({ rows, before, after }: Block, heads: number): Shapes {
    return this.search === 'there'
      ? { spanEntries: [heads, rows, 2 * SHARES, CHUNK] }
      : { chunkSums: [heads, rows, before + after], chunks: [heads, rows, before + after, CHUNK] };
  }

  take(run: BlockRun): void {
    if (this.search === 'there') this.takeFound(run);
    else this.takeChunks(run);
  }

  private takeChunks({ block, head, heads, additive, results }: BlockRun): void {
    const { rows, before, after } = block;
    const { perQuery } = this;
    const shares = [...SPAN_SHARES];
    const sums = floats(results['chunkSums']!);
    const chunks = floats(results['chunks']!);
    const rings = Math.max(before, after);
    for (let h = 0; h < heads; h++) {
      const seen = additive.planes === 1 ? 0 : h * rows;
      const last = (head + h) * this.input.queries + block.from + rows - 1;
      for (let r = 0; r < rows; r++) {
        if (additive.visible[seen + r] === 0) continue;
        const middle = (h * rows + r) * (before + after) + before;
        let inside = 0;
        let s = 0;
        for (let ring = 0; s < SHARES; ring++) {
          const left = ring < before ? middle - 1 - ring : -1;
          const right = ring < after ? middle + ring : -1;
          const within = inside + (left < 0 ? 0 : sums[left]!) + (right < 0 ? 0 : sums[right]!);
          for (; s < SHARES && (within >= shares[s]! || ring === rings - 1); s++) {
            const missing = shares[s]! - inside;
            perQuery[s]![last - r] =
              ring * SIZE +
              stepsWithin(chunks, left < 0 ? -1 : left * SIZE, right < 0 ? -1 : right * SIZE, missing);
          }
          inside = within;
        }
      }
    }
  }

  private takeFound({ block, head, heads, additive, results }: BlockRun): void {
    const { rows } = block;
    const rings = floats(results['spanRing']!);
    const before = floats(results['spanBefore']!);
    const entries = floats(results['spanEntries']!);
    for (let h = 0; h < heads; h++) {
      const seen = additive.planes === 1 ? 0 : h * rows;
      const last = (head + h) * this.input.queries + block.from + rows - 1;
      for (let r = 0; r < rows; r++) {
        if (additive.visible[seen + r] === 0) continue;
        const row = h * rows + r;
        for (let s = 0; s < SHARES; s++) {
          const ring = rings[row * SHARES + s]!;
          const left = ring < block.before ? (row * 2 * SHARES + s) * SIZE : -1;
          const right = ring < block.after ? (row * 2 * SHARES + SHARES + s) * SIZE : -1;
          const missing = SPAN_SHARES[s]! - before[row * SHARES + s]!;
          this.perQuery[s]![last - r] = ring * SIZE + stepsWithin(entries, left, right, missing);
        }
      }
    }
  }
}

/** Finds the rings and picks their entries where the probabilities are. */
function buildSearch(g: GraphBuilder, chunks: Value, sums: Value): void {
  const middle = g.input('middle', 'int64', [1]);
  const leftPads = g.input('leftPads', 'int64', [6]);
  const rightPads = g.input('rightPads', 'int64', [6]);
  const [leftFirst, rightFirst, rightLast] = ['leftFirst', 'rightFirst', 'rightLast'].map(name =>
    g.input(name, 'float32', []),
  );
  // Gather, not Slice with a negative step: that was seen to go wrong on WebGPU.
  const left = g.op('Gather', [sums, g.input('leftOrder', 'int32', ['before'])], { axis: 2 });
  const right = g.op('Slice', [sums, middle, g.int([2 ** 31 - 1]), g.int([2])]);
  const rings = g.op('Add', [g.op('Pad', [left, leftPads]), g.op('Pad', [right, rightPads])]);
  // Mass inside of each ring; the wanted ring is the last one whose inside is still short of the share.
  const inside = g.op('CumSum', [rings, g.int(2)], { exclusive: 1 });
  const short = g.op('Less', [g.op('Unsqueeze', [inside, g.int([2])]), g.float(SPAN_SHARES, [SHARES, 1])]);
  const ring = g.op('Sub', [
    g.op('ReduceSum', [g.op('Cast', [short], { to: ElementType.float32 }), g.int([-1])], { keepdims: 0 }),
    g.float(1),
  ]);
  const leftChunk = g.op('Max', [g.op('Sub', [leftFirst!, ring]), g.float(0)]);
  const rightChunk = g.op('Add', [rightFirst!, g.op('Min', [ring, rightLast!])]);
  const index = (value: Value) => g.op('Cast', [value], { to: ElementType.int64 });
  const wanted = index(g.op('Concat', [leftChunk, rightChunk], { axis: 2 }));
  const entries = g.op('GatherND', [chunks, g.op('Unsqueeze', [wanted, g.int([3])])], { batch_dims: 2 });
  g.output('spanRing', ring);
  g.output('spanBefore', g.op('GatherElements', [inside, index(ring)], { axis: 2 }));
  g.output('spanEntries', entries);
}

function searchFeeds({ before, after }: Block): Record<string, Tensor> {
  const rings = Math.max(before, after);
  const scalar = (value: number) => float32(Float32Array.of(value), []);
  return {
    leftOrder: int32(
      Int32Array.from({ length: before }, (_, t) => before - 1 - t),
      [before],
    ),
    middle: int64([before], [1]),
    leftPads: int64([0, 0, 0, 0, 0, rings - before], [6]),
    rightPads: int64([0, 0, 0, 0, 0, rings - after], [6]),
    leftFirst: scalar(before - 1),
    rightFirst: scalar(before),
    rightLast: scalar(after - 1),
  };
}

/** How far into a ring one must go until its mass reaches `missing`; `left`, `right`: start of its chunks, -1 = none. */
function stepsWithin(entries: Float32Array, left: number, right: number, missing: number): number {
  let mass = right < 0 ? 0 : entries[right]!;
  if (mass >= missing) return 0;
  for (let step = 1; step < SIZE; step++) {
    if (right >= 0) mass += entries[right + step]!;
    if (left >= 0) mass += entries[left + SIZE - step]!;
    if (mass >= missing) return step;
  }
  return SIZE;
}
