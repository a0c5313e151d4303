import { hidden, score, value } from './edges';
import type { CoreInput } from '../../engine/attention/core';

/** argmax over [xR; -xR] of one vector in one round; rotations [dim, rounds, half]. */
export function bucketOf(
  x: ArrayLike<number>,
  rotations: { data: ArrayLike<number>; dims: readonly number[] },
  round: number,
): number {
  const [dim, rounds, half] = rotations.dims as [number, number, number];
  const projected = Array.from({ length: half }, (_, b) => {
    let sum = 0;
    for (let c = 0; c < dim; c++) sum += x[c]! * rotations.data[(c * rounds + round) * half + b]!;
    return sum;
  });
  const both = [...projected, ...projected.map(p => -p)];
  return both.indexOf(Math.max(...both));
}

export interface LshOptions {
  bucketSize: number;
  sharedQK: boolean;
  attendAcrossBuckets: boolean;
  allowDuplicates: boolean;
}

interface Entry {
  round: number;
  token: number;
  bucket: number;
}

/**
 * Reformer, section 2, for one head: sort (round, bucket, position), cut, look one chunk back. A pair that is visible
 * in n places gets the weight of n pairs, or of one without duplicates.
 * `queryBuckets`, `keyBuckets`: [rounds][tokens].
 */
export function lshHead(
  input: CoreInput,
  head: number,
  queryBuckets: number[][],
  keyBuckets: number[][],
  options: LshOptions,
): { weights: number[][]; output: number[][]; recall: number[]; pairs: number } {
  const { queries, keys, dim } = input;
  const shift = keys - queries;
  const { bucketSize: m, sharedQK } = options;
  const sorted = (buckets: number[][]) =>
    buckets.flatMap((ids, round) =>
      ids
        .map((bucket, token): Entry => ({ round, token, bucket }))
        .sort((a, b) => a.bucket - b.bucket || a.token - b.token),
    );
  const ringQ = sorted(queryBuckets);
  const ringK = sorted(keyBuckets);
  const chunksOfKeys = Math.ceil(ringK.length / m);

  // For every query entry, the entries of keys it may see.
  const seen: Entry[][] = [];
  if (sharedQK) {
    ringQ.forEach((_, e) => {
      const chunk = Math.floor(e / m);
      const back = (chunk - 1 + chunksOfKeys) % chunksOfKeys;
      const wanted = chunksOfKeys === 1 ? [0] : [back, chunk];
      seen.push(ringK.filter((__, f) => wanted.includes(Math.floor(f / m))));
    });
  } else {
    const before = (k: Entry, q: Entry) => {
      if (k.round !== q.round) return k.round < q.round;
      if (k.bucket !== q.bucket) return k.bucket < q.bucket;
      return k.token < q.token + shift;
    };
    const low = ringQ.map(q => ringK.filter(k => before(k, q)).length);
    const high = ringQ.map(
      (q, e) =>
        low[e]! +
        ringK.filter(k => k.round === q.round && k.bucket === q.bucket && k.token === q.token + shift).length,
    );
    for (let from = 0; from < ringQ.length;) {
      let to = from + 1;
      while (to < ringQ.length && to - from < m && high[to]! - low[from]! <= m) to++;
      const first = low[from]!;
      // Keys up to the next chunk's first belong to this one, as far as its size goes: each key has a chunk.
      const next = to < ringQ.length ? low[to]! : ringK.length;
      const end = Math.max(...high.slice(from, to), Math.min(first + m, next));
      const own = ringK.slice(Math.max(0, first - m), end);
      if (first === 0 && ringK.length > m) own.push(...ringK.slice(m * (chunksOfKeys - 1)));
      for (let e = from; e < to; e++) seen.push(own);
      from = to;
    }
  }

  const weights: number[][] = [];
  const output: number[][] = [];
  const recall: number[] = [];
  let pairs = 0;
  for (let i = 0; i < queries; i++) {
    const counts = new Array<number>(keys).fill(0);
    ringQ.forEach((q, e) => {
      if (q.token !== i) return;
      for (const k of seen[e]!) {
        if (!options.attendAcrossBuckets && (k.round !== q.round || k.bucket !== q.bucket)) continue;
        if (!hidden(input, i + shift, k.token)) counts[k.token]!++;
      }
    });
    const tied = (j: number) => {
      let dot = 0;
      let norm = 0;
      for (let c = 0; c < dim; c++) {
        const q = input.q[(head * queries + j) * dim + c]!;
        dot += input.q[(head * queries + i) * dim + c]! * q;
        norm += q * q;
      }
      return (dot / Math.sqrt(norm)) * input.rule.scale[head]!;
    };
    pairs += counts.filter(n => n > 0).length;
    if (sharedQK && counts.some((n, j) => n > 0 && j !== i)) counts[i] = 0;
    const scores = counts.map((_, j) => (sharedQK ? tied(j) : score(input, head, i, j)));
    const exps = counts.map((n, j) =>
      n === 0 ? 0 : Math.exp(scores[j]!) * (options.allowDuplicates ? n : 1),
    );
    const total = exps.reduce((a, b) => a + b, 0);
    const row = exps.map(e => (total > 0 ? e / total : 0));
    weights.push(row);
    output.push(
      Array.from({ length: input.valueDim }, (_, c) =>
        row.reduce((sum, w, j) => sum + (w === 0 ? 0 : w * value(input, head, j, c)), 0),
      ),
    );
    let dense = 0;
    let kept = 0;
    for (let j = 0; j < keys; j++) {
      const e = Math.exp(score(input, head, i, j));
      dense += e;
      if (counts[j]! > 0) kept += e;
    }
    recall.push(dense > 0 ? kept / dense : 0);
  }
  return { weights, output, recall, pairs };
}
