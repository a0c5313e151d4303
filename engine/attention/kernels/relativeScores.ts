import type { CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import type { OwnTensor } from '../ownTensors';
import { RefusedError, told } from '../../errors';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import { scoreAt } from './lines';
import { sequence } from './lists';
import { refusesRule } from './plainCore';
import { addOpaque, MASKED, type Tiles } from './tiles';

/** Transformer-XL's scores, (q + u).k + (q + v).r of the distance (Dai et al. 2019, section 3.3). */
export interface Relative {
  /** [heads, keys, dim]; row t is for distance t. */
  r: Float32Array;
  /** [heads, dim] */
  u: Float32Array;
  v: Float32Array;
  /** q + u and q + v, [heads, queries, dim] */
  contentQueries: Float32Array;
  positionQueries: Float32Array;
}

/** The tensors that a caller may give. */
export const RELATIVE = {
  r: { dims: ['heads', 'keys', 'dim'] },
  u: { dims: ['heads', 'dim'] },
  v_bias: { dims: ['heads', 'dim'] },
} satisfies Record<string, OwnTensor>;

/** Null where the caller gave none. `title`: of the mechanism, for refusals. */
export function readRelative(title: string, input: CoreInput, { own }: AttendContext): Relative | null {
  const { heads, queries, keys, dim } = input;
  if (!own['r']) return null;
  // A bias by pair is added to the paper's scores, and pairs can be blocked; the model's own bias by distance would compete with theirs.
  const { blocked: _, bias, ...rule } = input.rule;
  const added = bias?.kind === 'opaque' ? null : bias;
  const reason = refusesRule(`${title} with its own relative scores`, {
    ...input,
    rule: { ...rule, bias: added },
  });
  if (reason) throw new RefusedError(reason);
  const read = (name: string, dims: number[]) => {
    const tensor = own[name];
    if (tensor?.type !== 'float32' || tensor.dims.join() !== dims.join()) {
      throw new RefusedError(told`"${name}" must be float32 [${dims.join(', ')}].`);
    }
    return tensor.data;
  };
  const plus = (bias: Float32Array) =>
    input.q.map((x, t) => x + bias[Math.floor(t / (queries * dim)) * dim + (t % dim)]!);
  const r = read('r', [heads, keys, dim]);
  const [u, v] = [read('u', [heads, dim]), read('v_bias', [heads, dim])];
  return { r, u, v, contentQueries: plus(u), positionQueries: plus(v) };
}

/** The core whose products of queries and keys are the terms of content. */
export const contentCore = (input: CoreInput, relative: Relative | null): CoreInput =>
  relative ? { ...input, q: relative.contentQueries } : input;

/**
 * The terms of position of a block of queries, (q + v).r of a distance, [rows, columns]. `distanceOf` a row and a column,
 * at most `farthest`; a negative one hides the pair.
 */
export async function positionTerms(
  { queries, keys, dim, rule }: CoreInput,
  head: number,
  { r, positionQueries }: Relative,
  { from, to }: { from: number; to: number },
  columns: number,
  farthest: number,
  distanceOf: (row: number, column: number) => number,
  { runtime }: AttendContext,
): Promise<Float32Array> {
  const rows = to - from;
  const distances = farthest + 1;
  const session = await runtime.graph('relative-positions', g => {
    const q = g.op('Mul', [g.input('q', 'float32', ['a', 'd']), g.input('scale', 'float32', [1])]);
    g.output('terms', g.op('Gemm', [q, g.input('r', 'float32', ['t', 'd'])], { transB: 1 }));
  });
  const at = (head * queries + from) * dim;
  const first = head * keys * dim;
  const results: Record<string, Tensor> = await session.run({
    q: float32(positionQueries.subarray(at, at + rows * dim), [rows, dim]),
    r: float32(r.subarray(first, first + distances * dim), [distances, dim]),
    scale: float32(Float32Array.of(rule.scale[head]!), [1]),
  });
  const all = floats(results['terms']!);
  const terms = new Float32Array(rows * columns).fill(MASKED);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++) {
      const distance = distanceOf(row, c);
      if (distance >= 0) terms[row * columns + c] = all[row * distances + distance]!;
    }
  }
  return terms;
}

/** A block of queries and a run of keys with the terms of position as bias, then the mask. */
export async function relativeTiles(
  input: CoreInput,
  head: number,
  relative: Relative,
  block: { from: number; to: number },
  keys: Int32Array,
  context: AttendContext,
): Promise<Tiles> {
  const { from, to } = block;
  const [rows, columns] = [to - from, keys.length];
  const first = from + input.keys - input.queries;
  const distanceOf = (row: number, c: number) => first + row - keys[c]!;
  const farthest = first + rows - 1 - keys[0]!;
  const bias = await positionTerms(input, head, relative, block, columns, farthest, distanceOf, context);
  const tiles = { head, rows, columns, queries: sequence(from, to), keys, bias };
  addOpaque(input, tiles);
  return tiles;
}

/** Score of one pair; -Infinity where the mask hides the key. `content`: see `contentCore`. */
export function relativeScore(
  content: CoreInput,
  head: number,
  relative: Relative,
  query: number,
  key: number,
): number {
  const distance = query + content.keys - content.queries - key;
  return scoreAt(content, head, query, key) + positionTerm(content, head, relative, query, distance);
}

/** (q + v).r of one query and a distance, scaled. */
export function positionTerm(
  { queries, keys, dim, rule }: CoreInput,
  head: number,
  { r, positionQueries }: Relative,
  query: number,
  distance: number,
): number {
  let dot = 0;
  const [a, b] = [(head * queries + query) * dim, (head * keys + distance) * dim];
  for (let c = 0; c < dim; c++) dot += positionQueries[a + c]! * r[b + c]!;
  return dot * rule.scale[head]!;
}
