import type { AttendContext } from '../mechanism';
import { RefusedError, told } from '../../errors';
import { checkpoint } from '../../runtime/cancellation';
import { float32, floats, int64, lowWords, type Tensor } from '../../runtime/tensor';

/** Elements of one run's projections. */
const HASH_ELEMENTS = 2 ** 20;

/** Vectors to hash: [n, width] and, where norms were padded, two more components of each, [n, 2]. */
export interface HashInput {
  vectors: Float32Array;
  width: number;
  padding: Float32Array | null;
}

/**
 * Angular LSH (Andoni et al. 2015; Reformer, section 2): bucket = argmax of [xR; -xR], the lower one on ties.
 * `rotations` [width (+ 2 if padded), rounds, half]. With `fine` rotations the bucket is factorised,
 * coarse * fine buckets + fine, which keeps the cost of many buckets low (Reformer's code does the same).
 * @returns [rounds][n] buckets.
 */
export async function hashRows(
  input: HashInput,
  rotations: Tensor,
  fine: Tensor | undefined,
  context: AttendContext,
): Promise<Int32Array[]> {
  const coarse = await hashOnce(input, rotations, context);
  if (!fine) return coarse;
  const within = await hashOnce(input, fine, context);
  const size = 2 * fine.dims[2]!;
  return coarse.map((buckets, r) => buckets.map((bucket, i) => bucket * size + within[r]![i]!));
}

async function hashOnce(
  { vectors, width, padding }: HashInput,
  rotations: Tensor,
  context: AttendContext,
): Promise<Int32Array[]> {
  const [inner, rounds, half] = rotationDims(rotations);
  const wanted = width + (padding ? 2 : 0);
  if (inner !== wanted) {
    throw new RefusedError(told`"rotations" is for ${inner} dimensions, the vectors to hash have ${wanted}.`);
  }
  const session = await context.runtime.graph(`lsh-hash|${padding !== null}`, g => {
    const x = g.input('x', 'float32', ['n', 'd']);
    const r = g.input('r', 'float32', ['d', 'c']);
    const shape = g.input('shape', 'int64', [3]);
    let projected = g.op('MatMul', [x, r]);
    if (padding) {
      const more = g.op('MatMul', [g.input('p', 'float32', ['n', 2]), g.input('s', 'float32', [2, 'c'])]);
      projected = g.op('Add', [projected, more]);
    }
    projected = g.op('Reshape', [projected, shape]);
    const both = g.op('Concat', [projected, g.op('Neg', [projected])], { axis: 2 });
    g.output('bucket', g.op('ArgMax', [both], { axis: 2, keepdims: 0 }), 'int64');
  });
  const count = vectors.length / width;
  const buckets = Array.from({ length: rounds }, () => new Int32Array(count));
  const columns = rounds * half;
  const step = Math.max(1, Math.floor(HASH_ELEMENTS / (2 * columns)));
  const matrix = floats(rotations);
  for (let from = 0; from < count; from += step) {
    await checkpoint(context.signal);
    const to = Math.min(count, from + step);
    const results = await session.run({
      x: float32(vectors.subarray(from * width, to * width), [to - from, width]),
      r: float32(matrix.subarray(0, width * columns), [width, columns]),
      ...(padding
        ? {
            p: float32(padding.subarray(from * 2, to * 2), [to - from, 2]),
            s: float32(matrix.subarray(width * columns), [2, columns]),
          }
        : {}),
      shape: int64([to - from, rounds, half], [3]),
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
  width: number,
): { queries: HashInput; keys: HashInput } {
  const q2 = squaredNorms(queries, width);
  const k2 = squaredNorms(keys, width);
  let longest = 0;
  for (const s of q2) longest = Math.max(longest, s);
  for (const s of k2) longest = Math.max(longest, s);
  const padding = (norms: Float64Array, slot: number) => {
    const pad = new Float32Array(2 * norms.length);
    norms.forEach((s, i) => (pad[2 * i + slot] = Math.sqrt(Math.max(0, longest - s))));
    return pad;
  };
  return {
    queries: { vectors: queries, width, padding: padding(q2, 1) },
    keys: { vectors: keys, width, padding: padding(k2, 0) },
  };
}

function squaredNorms(data: Float32Array, width: number): Float64Array {
  const norms = new Float64Array(data.length / width);
  for (let i = 0; i < norms.length; i++) {
    let sum = 0;
    for (let c = i * width; c < (i + 1) * width; c++) sum += data[c]! * data[c]!;
    norms[i] = sum;
  }
  return norms;
}
