import { hidden, score, value } from './edges';
import type { CoreInput } from '../../engine/attention/core';

export interface RoutingOracle {
  /** [clusters][window], ascending */
  queryMembers: number[][];
  keyMembers: number[][];
  /** [queries][keys] effective attention (rows of tokens in no cluster are 0) */
  weights: number[][];
  output: number[][];
  /** [queries] dense mass on the distinct pairs */
  recall: number[];
  pairs: number;
}

/** Routing Transformer for one head; centroids [clusters][dim]. */
export function routingHead(
  input: CoreInput,
  head: number,
  centroids: ArrayLike<number>[],
  window: number,
  sharedQK: boolean,
): RoutingOracle {
  const { queries, keys, dim } = input;
  const shift = keys - queries;
  const group = input.heads / input.kvHeads;
  const query = (i: number) =>
    Array.from({ length: dim }, (_, c) => input.q[(head * queries + i) * dim + c]!);
  const key = (j: number) =>
    Array.from({ length: dim }, (_, c) => input.k[(Math.floor(head / group) * keys + j) * dim + c]!);
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((s, x, c) => s + x * b[c]!, 0);
  const unit = (x: number[]) => x.map(y => y / Math.sqrt(dot(x, x)));
  const best = (rows: number[][], centroid: ArrayLike<number>) =>
    rows
      .map((row, i) => ({ i, s: dot(unit(row), centroid) }))
      .sort((a, b) => b.s - a.s || a.i - b.i)
      .slice(0, window)
      .map(({ i }) => i)
      .sort((a, b) => a - b);
  const allQ = Array.from({ length: queries }, (_, i) => query(i));
  const allK = sharedQK ? allQ : Array.from({ length: keys }, (_, j) => key(j));
  const queryMembers = centroids.map(c => best(allQ, c));
  const keyMembers = centroids.map(c => best(allK, c));

  const weights: number[][] = [];
  const recall: number[] = [];
  let pairs = 0;
  for (let i = 0; i < queries; i++) {
    const row = new Array<number>(keys).fill(0);
    const seen = new Set<number>();
    let held = 0;
    queryMembers.forEach((members, c) => {
      if (!members.includes(i)) return;
      held++;
      let visible = keyMembers[c]!.filter(j => !hidden(input, i + shift, j));
      visible.forEach(j => seen.add(j));
      if (sharedQK && visible.some(j => j !== i)) visible = visible.filter(j => j !== i);
      const s = (j: number) =>
        sharedQK ? dot(query(i), unit(query(j))) * input.rule.scale[head]! : score(input, head, i, j);
      const total = visible.reduce((sum, j) => sum + Math.exp(s(j)), 0);
      if (total > 0) for (const j of visible) row[j]! += Math.exp(s(j)) / total;
    });
    for (let j = 0; j < keys; j++) row[j]! /= held + 1e-5;
    weights.push(row);
    pairs += seen.size;
    let dense = 0;
    let kept = 0;
    for (let j = 0; j < keys; j++) {
      const e = Math.exp(score(input, head, i, j));
      dense += e;
      if (seen.has(j)) kept += e;
    }
    recall.push(dense > 0 ? kept / dense : 0);
  }
  const output = weights.map(row =>
    Array.from({ length: input.valueDim }, (_, c) =>
      row.reduce((sum, w, j) => sum + (w === 0 ? 0 : w * value(input, head, j, c)), 0),
    ),
  );
  return { queryMembers, keyMembers, weights, output, recall, pairs };
}
