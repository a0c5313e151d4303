import type { Tensor } from '../runtime/tensor';
import { planes } from './kernels/planes';

/** One query's effective attention: ascending keys and their weights (all others are 0). */
export interface SparseRow {
  keys: Int32Array;
  weights: Float64Array;
  /** Share of each key's dense mass that is kept, 0..1; absent = all of it (soft masks fill it in). */
  mask?: Float64Array;
  /** So many of the first entries are keys that are read pooled with others, not as themselves: no pairs of the dense map. */
  pooled?: number;
}

/** One core run under a mechanism. */
export interface Attended {
  /** [heads, queries, valueDim]; rows without any key are 0. */
  output: Float32Array;
  /**
   * [heads, queries]: log of the dense mass kept, up to the dense log-sum-exp: log of the sum of (mask weight x exp(score))
   * over the distinct kept pairs, -Infinity = uncovered. Recall of a query = exp(lse - dense lse).
   * null when the mechanism keeps no set of pairs (kernel and low-rank approximations).
   */
  lse: Float32Array | null;
  /**
   * True where the weights of the kept pairs are not their dense probabilities (times the soft mask) renormalised:
   * pairs counted twice, means over clusters, another function than softmax, pooled keys beside them.
   */
  reweighted?: true;
  /** [heads]: distinct pairs kept after masking. */
  pairs: Float64Array;
  /** The effective attention of one query, computed on demand in float64; costs the query's pairs only. */
  row(head: number, query: number): SparseRow;
  /** Integer and float tensors named in the contract (`buckets`, `query_members`, `span`, ...). */
  extra: Record<string, Tensor>;
}

/** Some heads of a run. */
export function someAttended(
  attended: Attended,
  heads: readonly number[],
  { queries, valueDim }: { queries: number; valueDim: number },
): Attended {
  return {
    output: planes(attended.output, heads, queries * valueDim),
    lse: attended.lse && planes(attended.lse, heads, queries),
    ...(attended.reweighted && { reweighted: true }),
    pairs: Float64Array.from(heads, head => attended.pairs[head]!),
    row: (at, query) => attended.row(heads[at]!, query),
    extra: {},
  };
}
