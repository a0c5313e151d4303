import { kvHead, type CoreInput } from '../core';
import { recentKeys, type Segment } from './segments';
import { float32, type Tensor } from '../../runtime/tensor';
import { mean } from '../../statistics';

/** Queries of one head whose scores are taken apart, evenly spaced. */
const SAMPLED = 128;

/**
 * The four terms of a Transformer-XL score (Dai et al. 2019, section 3.3): (a) query and key, (b) query and distance,
 * (c) key alone, (d) distance alone. A term's share is its covariance with the score within a row (what is the same for
 * all keys of a query does not matter to the softmax), over the score's variance: the four add up to 1; a term that works
 * against the others is negative. `r` [heads, keys, dim], `u` and `v` [heads, dim]. @returns float32 [heads, 4]; zeros where all scores of all rows are equal.
 */
export function termShares(
  input: CoreInput,
  { r, u, v }: { r: Float32Array; u: Float32Array; v: Float32Array },
  segments: readonly Segment[],
  memory: number,
): Tensor {
  const { heads, queries, keys, dim, q, k } = input;
  const shares = new Float32Array(heads * 4);
  const count = Math.min(queries, SAMPLED);
  for (let head = 0; head < heads; head++) {
    const sums = new Float64Array(4);
    for (let t = 0; t < count; t++) {
      const query = Math.floor(((t + 0.5) * queries) / count);
      const segment = segments.find(s => query < s.to)!;
      const { from, to } = recentKeys(input, query, segment.start, memory);
      const position = query + keys - queries;
      const terms = [0, 1, 2, 3].map(() => new Float64Array(to - from));
      for (let key = from; key < to; key++) {
        const a = (head * queries + query) * dim;
        const b = (kvHead(input, head) * keys + key) * dim;
        const far = (head * keys + position - key) * dim;
        for (let c = 0; c < dim; c++) {
          terms[0]![key - from]! += q[a + c]! * k[b + c]!;
          terms[1]![key - from]! += q[a + c]! * r[far + c]!;
          terms[2]![key - from]! += u[head * dim + c]! * k[b + c]!;
          terms[3]![key - from]! += v[head * dim + c]! * r[far + c]!;
        }
      }
      const centred = terms.map(withoutMean);
      for (let x = 0; x < to - from; x++) {
        const score = centred.reduce((sum, term) => sum + term[x]!, 0);
        centred.forEach((term, n) => (sums[n]! += (term[x]! * score) / (to - from)));
      }
    }
    const variance = sums.reduce((a, b) => a + b, 0);
    if (variance > 0)
      shares.set(
        sums.map(sum => sum / variance),
        head * 4,
      );
  }
  return float32(shares, [heads, 4]);
}

function withoutMean(values: Float64Array): Float64Array {
  const middle = mean(values);
  return values.map(value => value - middle);
}
