/** Two sides held against each other, A and B: every difference is B - A. Pure. */
import { diffArrays } from 'diff';
import { TILE_SIZE, type AnalysisSummary, type Interval, type Tile } from '../../shared/protocol/engine';
import { differenceInterval, meanInterval } from '../../shared/uncertainty';

/** The whole map of a head in one tile: how coarse it is for a text of so many tokens. */
export function wholeLevel(queries: number, keys: number): number {
  return Math.max(0, Math.ceil(Math.log2(Math.max(queries, keys, 1) / TILE_SIZE)));
}

/** The mass in each cell, what a mechanism drops left out. */
export function keptMass({ mass, kept }: Tile): Float32Array {
  return kept ? mass.map((value, i) => value * kept[i]!) : mass;
}

/** B - A, cell by cell; null where the maps are of different sizes. */
export function mapDifference(a: Tile, b: Tile): Float32Array | null {
  if (a.rows !== b.rows || a.columns !== b.columns) return null;
  const first = keptMass(a);
  return keptMass(b).map((value, i) => value - first[i]!);
}

/**
 * The share of its attention that each row of a map of means puts elsewhere in B than in A: half the sum of what differs.
 * A row is one query, or a block of them, of which it is the least that can be said.
 */
export function shiftPerRow(a: Tile, b: Tile, level: number): Float32Array | null {
  const difference = mapDifference(a, b);
  if (!difference) return null;
  const keys = 2 ** level;
  return Float32Array.from({ length: a.rows }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < a.columns; column++) sum += Math.abs(difference[row * a.columns + column]!);
    return Math.min(1, (sum * keys) / 2);
  });
}

/** Cells of a map whose difference is largest, largest first. */
export function largestCells(values: Float32Array, columns: number, count: number) {
  return Array.from(values.keys())
    .filter(i => values[i] !== 0)
    .sort((i, j) => Math.abs(values[j]!) - Math.abs(values[i]!))
    .slice(0, count)
    .map(i => ({ row: Math.floor(i / columns), column: i % columns, value: values[i]! }));
}

// ---------------------------------------------------------------- texts

/** Milliseconds that are spent on finding what two texts have in common. */
const PATIENCE = 500;

/** For each token of A its counterpart in B, or -1: what both texts have in common, in order. */
export function counterparts(a: ArrayLike<number>, b: ArrayLike<number>): Int32Array {
  const found = new Int32Array(a.length).fill(-1);
  const changes = diffArrays(Array.from(a), Array.from(b), { timeout: PATIENCE });
  let [here, there] = [0, 0];
  for (const { added, removed, count } of changes ?? []) {
    if (!added && !removed) for (let i = 0; i < count; i++) found[here + i] = there + i;
    if (!added) here += count;
    if (!removed) there += count;
  }
  return found;
}

/** Losses by token, NaN where none is known; entry i of `perToken` is about token i + 1. */
export function lossByToken(perToken: ArrayLike<number>, tokens: number): Float64Array {
  const values = new Float64Array(tokens).fill(NaN);
  for (let i = 0; i < perToken.length && i + 1 < tokens; i++) values[i + 1] = perToken[i]!;
  return values;
}

export interface LossPair {
  a: number;
  b: number;
  /** Of B - A per token; null of too few tokens to tell. */
  interval: Interval | null;
  /** Tokens that both have, in which they were compared one by one; 0 where the two texts stand each for itself. */
  paired: number;
  /** B - A by token of A; 0 where the token has no counterpart or no loss. */
  perToken: Float32Array;
}

/** Least share of the tokens that must have a counterpart for the two to be compared token by token. */
const LEAST_PAIRED = 0.5;

/** Two losses of two texts, token by token where they have most tokens in common. */
export function lossPair(
  a: { perToken: ArrayLike<number>; ids: ArrayLike<number> },
  b: { perToken: ArrayLike<number>; ids: ArrayLike<number> },
): LossPair {
  const [of, other] = [lossByToken(a.perToken, a.ids.length), lossByToken(b.perToken, b.ids.length)];
  const perToken = new Float32Array(of.length);
  const pairs: [number, number][] = [];
  counterparts(a.ids, b.ids).forEach((there, here) => {
    const [one, two] = [of[here]!, there < 0 ? NaN : other[there]!];
    if (Number.isNaN(one) || Number.isNaN(two)) return;
    perToken[here] = two - one;
    pairs.push([one, two]);
  });
  const mean = (values: ArrayLike<number>) =>
    Array.from(values).reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const most = Math.max(a.perToken.length, b.perToken.length);
  if (pairs.length < LEAST_PAIRED * most) {
    const interval = differenceInterval(a.perToken, b.perToken);
    return { a: mean(a.perToken), b: mean(b.perToken), interval, paired: 0, perToken };
  }
  const [first, second] = [pairs.map(([one]) => one), pairs.map(([, two]) => two)];
  const interval = meanInterval([pairs.map(([one, two]) => two - one)]);
  return { a: mean(first), b: mean(second), interval, paired: pairs.length, perToken };
}

/** Whether the heads of two models stand at the same places. */
export function sameHeads(a: AnalysisSummary, b: AnalysisSummary): boolean {
  const shape = ({ cores }: AnalysisSummary) => cores.map(({ heads }) => heads.length).join();
  return shape(a) === shape(b);
}
