import type { AttendContext } from '../mechanism';
import { unitRows } from './tied';
import { checkpoint } from '../../runtime/cancellation';
import { float32, lowWords } from '../../runtime/tensor';

/** Points looked at when the text is long; evenly spaced, the first always among them. */
const SAMPLE = 4096;
const ITERATIONS = 10;

/**
 * Spherical k-means, deterministic: starts from the first point and then, again and again, from the point farthest
 * from all centres so far; 10 iterations; a cluster that loses all its points keeps its centre.
 * `points` [n, dim], of any length. @returns [clusters, dim], unit rows; centres repeat when there are fewer points.
 */
export async function sphericalKMeans(
  points: Float32Array,
  dim: number,
  clusters: number,
  context: AttendContext,
): Promise<Float32Array> {
  const sample = unitRows(thin(points, dim), dim);
  const count = sample.length / dim;
  let centres = farthestPoints(sample, dim, clusters);
  const session = await context.runtime.graph('kmeans', g => {
    const x = g.input('x', 'float32', ['n', 'd']);
    const c = g.input('c', 'float32', ['k', 'd']);
    const similarity = g.op('Gemm', [x, c], { transB: 1 });
    g.output('nearest', g.op('ArgMax', [similarity], { axis: 1, keepdims: 0 }), 'int64');
  });
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    await checkpoint(context.signal);
    const { nearest } = await session.run({
      x: float32(sample, [count, dim]),
      c: float32(centres, [clusters, dim]),
    });
    const ids = lowWords(nearest!);
    const sums = new Float64Array(clusters * dim);
    for (let i = 0; i < count; i++) {
      const at = ids[2 * i]! * dim;
      for (let c = 0; c < dim; c++) sums[at + c]! += sample[i * dim + c]!;
    }
    const next = centres.slice();
    for (let k = 0; k < clusters; k++) {
      let squares = 0;
      for (let c = 0; c < dim; c++) squares += sums[k * dim + c]! ** 2;
      if (squares === 0) continue;
      for (let c = 0; c < dim; c++) next[k * dim + c] = sums[k * dim + c]! / Math.sqrt(squares);
    }
    centres = next;
  }
  return centres;
}

function thin(points: Float32Array, dim: number): Float32Array {
  const count = points.length / dim;
  if (count <= SAMPLE) return points;
  const sample = new Float32Array(SAMPLE * dim);
  for (let s = 0; s < SAMPLE; s++) {
    const i = Math.floor((s * count) / SAMPLE);
    sample.set(points.subarray(i * dim, (i + 1) * dim), s * dim);
  }
  return sample;
}

function farthestPoints(points: Float32Array, dim: number, clusters: number): Float32Array {
  const count = points.length / dim;
  const centres = new Float32Array(clusters * dim);
  const nearest = new Float32Array(count).fill(-Infinity);
  let chosen = 0;
  for (let k = 0; k < clusters; k++) {
    centres.set(points.subarray(chosen * dim, (chosen + 1) * dim), k * dim);
    let farthest = Infinity;
    for (let i = 0; i < count; i++) {
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += points[i * dim + c]! * centres[k * dim + c]!;
      if (dot > nearest[i]!) nearest[i] = dot;
      if (nearest[i]! < farthest) [farthest, chosen] = [nearest[i]!, i];
    }
  }
  return centres;
}
