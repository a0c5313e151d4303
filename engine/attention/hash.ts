import type { AttendContext } from './mechanism';
import { RefusedError } from '../errors';
import { checkpoint } from '../runtime/cancellation';
import { float32, floats, lowWords, type Tensor } from '../runtime/tensor';

/** Elements of one run's projections. */
const HASH_ELEMENTS = 2 ** 20;

/**
 * Angular LSH (Andoni et al. 2015; Reformer, section 2): bucket = argmax of [xR; -xR], the lower one on ties.
 * `rotations` [width, rounds, half]. With `fine` rotations the bucket is factorised, coarse * fine buckets + fine,
 * which keeps the cost of many buckets low (Reformer's code does the same).
 * @returns [rounds][rows] buckets.
 */
export async function hashRows(
  rows: Float32Array,
  width: number,
  rotations: Tensor,
  fine: Tensor | undefined,
  context: AttendContext,
): Promise<Int32Array[]> {
  const coarse = await hashOnce(rows, width, rotations, context);
  if (!fine) return coarse;
  const within = await hashOnce(rows, width, fine, context);
  const size = 2 * fine.dims[2]!;
  return coarse.map((buckets, r) => buckets.map((bucket, i) => bucket * size + within[r]![i]!));
}

async function hashOnce(
  rows: Float32Array,
  width: number,
  rotations: Tensor,
  context: AttendContext,
): Promise<Int32Array[]> {
  const [inner, rounds, half] = rotationDims(rotations);
  if (inner !== width) {
    throw new RefusedError(`"rotations" is for ${inner} dimensions, the vectors to hash have ${width}.`);
  }
  const session = await context.runtime.graph('lsh-hash', g => {
    const x = g.input('x', 'float32', ['n', 'd']);
    const r = g.input('r', 'float32', ['d', 'c']);
    const shape = g.input('shape', 'int64', [3]);
    const projected = g.op('Reshape', [g.op('MatMul', [x, r]), shape]);
    const both = g.op('Concat', [projected, g.op('Neg', [projected])], { axis: 2 });
    g.output('bucket', g.op('ArgMax', [both], { axis: 2, keepdims: 0 }), 'int64');
  });
  const count = rows.length / width;
  const buckets = Array.from({ length: rounds }, () => new Int32Array(count));
  const step = Math.max(1, Math.floor(HASH_ELEMENTS / (2 * rounds * half)));
  const r = float32(floats(rotations), [width, rounds * half]);
  for (let from = 0; from < count; from += step) {
    await checkpoint(context.cancellation);
    const to = Math.min(count, from + step);
    const results = await session.run({
      x: float32(rows.subarray(from * width, to * width), [to - from, width]),
      r,
      shape: {
        type: 'int64',
        data: BigInt64Array.of(BigInt(to - from), BigInt(rounds), BigInt(half)),
        dims: [3],
      },
    });
    const data = lowWords(results['bucket']!);
    for (let t = 0; t < rounds; t++) {
      const ids = buckets[t]!;
      for (let i = from; i < to; i++) ids[i] = data[2 * ((i - from) * rounds + t)]!;
    }
  }
  return buckets;
}

export function rotationDims(rotations: Tensor): [number, number, number] {
  const [width, rounds, half] = rotations.dims;
  if (rotations.dims.length !== 3 || !width || !rounds || !half || rotations.type !== 'float32') {
    throw new RefusedError('"rotations" must be float32 [dim, rounds, buckets/2].');
  }
  return [width, rounds, half];
}

/**
 * Pads queries and keys so that both have the norm C of the longest of them all; the angle between them then orders
 * pairs by q.k exactly (asymmetric hashing for maximum inner product): q -> [q, 0, sqrt(C2 - |q|2)], k -> [k, sqrt(C2 - |k|2), 0].
 */
export function padNorms(
  queries: Float32Array,
  keys: Float32Array,
  dim: number,
): { queries: Float32Array; keys: Float32Array } {
  const squares = (data: Float32Array) =>
    Float64Array.from({ length: data.length / dim }, (_, i) => {
      let sum = 0;
      for (let c = i * dim; c < (i + 1) * dim; c++) sum += data[c]! * data[c]!;
      return sum;
    });
  const [q2, k2] = [squares(queries), squares(keys)];
  let longest = 0;
  for (const s of q2) longest = Math.max(longest, s);
  for (const s of k2) longest = Math.max(longest, s);
  const pad = (data: Float32Array, norms: Float64Array, slot: number) => {
    const padded = new Float32Array(norms.length * (dim + 2));
    for (let i = 0; i < norms.length; i++) {
      for (let c = 0; c < dim; c++) padded[i * (dim + 2) + c] = data[i * dim + c]!;
      padded[i * (dim + 2) + dim + slot] = Math.sqrt(Math.max(0, longest - norms[i]!));
    }
    return padded;
  };
  return { queries: pad(queries, q2, 1), keys: pad(keys, k2, 0) };
}
