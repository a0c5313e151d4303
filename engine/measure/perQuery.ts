import { CHUNK, type Block } from '../attention/kernels/blocks';
import type { CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/kernels/dense';
import type { QueryMeasure } from '../../shared/protocol/corpus';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { float32, floats, int64, type Tensor } from '../runtime/tensor';
import type { Entropy } from './entropy';
import type { Measure, MeasureValues } from './measure';
import { LOCAL_REACH } from './roles';
import { SPAN_SHARES, type Spans } from './spans';

/** Every measure of every query: [heads, queries] each, NaN where a query sees nothing (or a relative entropy has no choice). */
export interface PerQuery {
  values: Record<QueryMeasure, Float32Array>;
  /** [heads, queries]: the far key with the most mass; -1 where there is none. */
  farKey: Int32Array;
}

/** Offsets whose mass is told for each query. */
const OFFSETS = [0, -1, 1] as const;

/**
 * What the means of a head are made of, query by query, and its strongest far link: the most mass that goes to one key
 * further than LOCAL_REACH away that is not the first key (where heads rest that look at nothing).
 */
export class PerQueryMasses implements Measure {
  readonly key = 'perQuery';
  private readonly distance: Float32Array;
  private readonly near: Float32Array[];
  private readonly first: Float32Array;
  private readonly largest: Float32Array;
  private readonly score: Float32Array;
  private readonly far: Float32Array;
  private readonly farKey: Int32Array;

  constructor(
    private readonly input: CoreInput,
    /** Between two texts positions are not comparable: every key is far. */
    private readonly crossing: boolean,
  ) {
    const length = input.heads * input.queries;
    const empty = () => new Float32Array(length).fill(NaN);
    this.distance = empty();
    this.near = OFFSETS.map(empty);
    this.first = empty();
    this.largest = empty();
    this.score = empty();
    this.far = empty();
    this.farKey = new Int32Array(length).fill(-1);
  }

  build(g: GraphBuilder, { probabilities, chunks, sunk }: MeasureValues): void {
    const byOffset = g.op('Reshape', [chunks, g.int([0, 0, -1])]);
    g.output('queryDistance', g.op('MatMul', [byOffset, g.input('distances', 'float32', ['offsets', 1])]));
    const near = g.input('nearOffsets', 'int64', [OFFSETS.length]);
    g.output('queryNear', g.op('Gather', [byOffset, near], { axis: 2 }));
    const first = g.input('firstColumn', 'int64', [1]);
    g.output('queryFirst', g.op('Gather', [probabilities, first], { axis: 2 }));
    const far = g.op('Mul', [probabilities, g.input('farKeys', 'float32', ['rows', 'columns'])]);
    if (sunk) g.output('queryLargest', g.op('ReduceMax', [probabilities, g.int([-1])], { keepdims: 0 }));
    g.output('queryFar', g.op('ReduceMax', [far, g.int([-1])], { keepdims: 0 }));
    g.output('queryFarColumn', g.op('ArgMax', [far], { axis: -1, keepdims: 0 }), 'int64');
  }

  feeds(block: Block): Record<string, Tensor> {
    const { rows, columns, before, after, firstKey, lastPosition } = block;
    const offsets = (before + after) * CHUNK;
    const middle = before * CHUNK;
    const far = new Float32Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      const position = lastPosition - r;
      for (let key = Math.max(1, firstKey); key < Math.min(this.input.keys, firstKey + columns); key++) {
        if (this.crossing || Math.abs(key - position) > LOCAL_REACH) far[r * columns + key - firstKey] = 1;
      }
    }
    return {
      distances: float32(
        Float32Array.from({ length: offsets }, (_, t) => Math.abs(t - middle)),
        [offsets, 1],
      ),
      nearOffsets: int64(
        OFFSETS.map(offset => middle + offset),
        [OFFSETS.length],
      ),
      firstColumn: int64([seesFirst(block) ? -firstKey : 0], [1]),
      farKeys: float32(far, [rows, columns]),
    };
  }

  take({ block, head, heads, additive, results }: BlockRun): void {
    const { rows, firstKey } = block;
    const value = (name: string) => floats(results[name]!);
    const [distance, near, first, far] = ['queryDistance', 'queryNear', 'queryFirst', 'queryFar'].map(value);
    const score = value('largestScore');
    const largest = value(results['queryLargest'] ? 'queryLargest' : 'largestProbability');
    const column = results['queryFarColumn']!.data as BigInt64Array;
    for (let h = 0; h < heads; h++) {
      const plane = additive.planes === 1 ? 0 : h * rows;
      const last = (head + h) * this.input.queries + block.from + rows - 1;
      for (let r = 0; r < rows; r++) {
        if (additive.visible[plane + r] === 0) continue;
        const row = h * rows + r;
        this.distance[last - r] = distance![row]!;
        for (const [o, values] of this.near.entries()) values[last - r] = near![row * OFFSETS.length + o]!;
        this.first[last - r] = seesFirst(block) ? first![row]! : 0;
        this.largest[last - r] = largest[row]!;
        this.score[last - r] = score[row]! + (additive.shift?.[plane + r] ?? 0);
        this.far[last - r] = far![row]!;
        if (far![row]! > 0) this.farKey[last - r] = firstKey + Number(column[row]);
      }
    }
  }

  /** All of it, with what the other measures of the same pass know of single queries. */
  together(entropy: Entropy, spans: Spans, output: Float32Array): PerQuery {
    const { heads, queries } = this.input;
    const length = heads * queries;
    const blank = (values: Float32Array, isBlank: (at: number) => boolean) =>
      values.map((value, at) => (isBlank(at) ? NaN : value));
    const unseen = (at: number) => entropy.visible[at] === 0;
    const [self, previous, next] = this.near;
    const [span90, span95, span99] = SPAN_SHARES.map((_, s) => blank(spans.perQuery[s]!, unseen));
    const width = output.length / length;
    return {
      values: {
        entropy: blank(entropy.perQuery, unseen),
        relativeEntropy: Float32Array.from({ length }, (_, at) => {
          const visible = entropy.visible[at]!;
          return visible < 2 ? NaN : Math.min(1, entropy.perQuery[at]! / Math.log(visible));
        }),
        meanDistance: this.distance,
        span90: span90!,
        span95: span95!,
        span99: span99!,
        self: self!,
        previous: previous!,
        next: next!,
        first: this.first,
        largestMass: this.largest,
        farMass: this.far,
        largestScore: this.score,
        outputNorm: Float32Array.from({ length }, (_, at) => {
          let square = 0;
          for (let t = at * width; t < (at + 1) * width; t++) square += output[t]! ** 2;
          return unseen(at) ? NaN : Math.sqrt(square);
        }),
      },
      farKey: this.farKey,
    };
  }
}

function seesFirst({ firstKey, columns }: Block): boolean {
  return firstKey <= 0 && firstKey + columns > 0;
}
