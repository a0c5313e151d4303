import { kvHead, visibleKeys, type CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import { addOpaque, MASKED, withoutLost, type OffsetTable, type Tiles } from './tiles';
import { checkpoint } from '../../runtime/cancellation';
import { float32, floats } from '../../runtime/tensor';

/** Scores of a block of queries of one head against the keys that any of them sees. */
export interface ScoreBlock {
  firstKey: number;
  columns: number;
  /** [rows, columns], -Infinity where the key is hidden. */
  scores: Float32Array;
  /** [rows]: what was taken from each row's scores (see Tiles). */
  shift?: Float64Array;
}

/** Scores (scaled, capped, biased, masked) of queries from .. to-1; for mechanisms that replace the softmax itself. */
export async function scoreBlock(
  input: CoreInput,
  head: number,
  from: number,
  to: number,
  { table, base }: OffsetTable,
  context: AttendContext,
): Promise<ScoreBlock> {
  await checkpoint(context.signal);
  const { dim, queries, keys, rule } = input;
  const rows = to - from;
  const firstKey = visibleKeys(input, from).from;
  const columns = Math.max(0, visibleKeys(input, to - 1).to - firstKey);
  if (columns === 0) return { firstKey, columns, scores: new Float32Array(0) };
  const kv = kvHead(input, head);
  const q = input.q.subarray((head * queries + from) * dim, (head * queries + to) * dim);
  const k = input.k.subarray((kv * keys + firstKey) * dim, (kv * keys + firstKey + columns) * dim);
  const tiles: Tiles = {
    head,
    rows,
    columns,
    queries: Int32Array.from({ length: rows }, (_, r) => from + r),
    keys: Int32Array.from({ length: columns }, (_, c) => firstKey + c),
    bias: new Float32Array(rows * columns),
  };
  for (let r = 0; r < rows; r++) {
    const at = firstKey - (from + r + keys - queries) + base;
    tiles.bias!.set(table.subarray(at, at + columns), r * columns);
  }
  addOpaque(input, tiles);
  const capped = rule.softCap !== null;
  const session = await context.runtime.graph(`scores|${capped}`, g => {
    const scale = g.input('scale', 'float32', [1]);
    const queriesIn = g.op('Mul', [g.input('q', 'float32', ['a', 'd']), scale]);
    let scores = g.op('Gemm', [queriesIn, g.input('k', 'float32', ['b', 'd'])], { transB: 1 });
    if (capped) {
      const cap = g.input('cap', 'float32', [1]);
      scores = g.op('Mul', [g.op('Tanh', [g.op('Div', [scores, cap])]), cap]);
    }
    g.output('scores', g.op('Add', [scores, g.input('bias', 'float32', ['a', 'b'])]));
  });
  const results = await session.run({
    q: float32(withoutLost(q, dim, tiles.shift), [rows, dim]),
    k: float32(k, [columns, dim]),
    bias: float32(tiles.bias!, [rows, columns]),
    scale: float32(Float32Array.of(rule.scale[head]!), [1]),
    ...(capped ? { cap: float32(Float32Array.of(rule.softCap!), [1]) } : {}),
  });
  const scores = floats(results['scores']!);
  const hidden = MASKED / 2;
  for (let t = 0; t < scores.length; t++) if (scores[t]! < hidden) scores[t] = -Infinity;
  return { firstKey, columns, scores, ...(tiles.shift ? { shift: tiles.shift } : {}) };
}

/** Weights (in the block's `scores`) times the values, [rows, valueDim]. */
export async function weighValues(
  input: CoreInput,
  head: number,
  { firstKey, columns, scores: weights }: ScoreBlock,
  context: AttendContext,
): Promise<Float32Array> {
  if (columns === 0) return new Float32Array(0);
  const { keys, valueDim } = input;
  const first = (kvHead(input, head) * keys + firstKey) * valueDim;
  const session = await context.runtime.graph('matmul', g => {
    const a = g.input('a', 'float32', ['a', 'b']);
    g.output('ab', g.op('MatMul', [a, g.input('b', 'float32', ['b', 'c'])]));
  });
  const { ab } = await session.run({
    a: float32(weights, [weights.length / columns, columns]),
    b: float32(input.v.subarray(first, first + columns * valueDim), [columns, valueDim]),
  });
  return floats(ab!);
}
