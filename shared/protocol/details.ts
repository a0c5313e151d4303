/** Details of a finished analysis, on demand: tiles, rows, tokens, spans, buckets. */
import type { BudgetUnit, Growth, MechanismParams, Setting } from './mechanisms';

/** All requests below need a finished analysis, or at least its finished cores. */
export interface HeadRef {
  id: string;
  core: number;
  head: number;
}

/** A rectangle of one head's map, reduced by 2^level in both directions. */
export interface TileParams extends HeadRef {
  level: number;
  /** Tile coordinates in units of TILE_SIZE cells at that level. */
  row: number;
  column: number;
  reduce: 'max' | 'mean';
  /** Adds `kept`. */
  mechanism?: Setting;
  /** Of value-weighted shares (`ValueWeights`) instead of masses. */
  byValue?: boolean;
}

export const TILE_SIZE = 128;

export interface Tile {
  rows: number;
  columns: number;
  /** rows*columns, mass. */
  mass: Float32Array;
  /** Share of the cell's mass that the mechanism keeps, 0..1. */
  kept?: Float32Array;
  /**
   * Of a long text: how many rows of each cell were computed (exactly, each against all keys) where these are not all 2^level, one drawn in
   * each equal part of the cell. `mean` is then an estimate, `max` the largest of these rows.
   */
  rowsRead?: number;
}

/** One query's distribution over keys, or what one key receives from every query. */
export interface RowParams extends HeadRef {
  token: number;
  direction: 'from' | 'to';
  /** Value-weighted shares (`ValueWeights`) instead of masses. */
  byValue?: boolean;
}

/**
 * What weighs a head's attention by its values: what query i gets from key j is a vector of the norm mass(i, j) * norms[j], its
 * value-weighted share that norm / sums[i] (shares of a query sum to 1). Kobayashi et al., Attention is Not Only a Weight, 2020.
 */
export interface ValueWeights {
  /** Norms of what the values add to the residual stream, through the head's rows of the output projection; else of the values alone, where the graph has no linear projection. */
  projected: boolean;
  /** [keys] Euclidean norm of each key's value vector. */
  norms: Float32Array;
  /** [queries] sum over the keys of mass * norm; 0 = the query gets nothing. */
  sums: Float32Array;
}

export interface Link {
  token: number;
  mass: number;
}

export interface TokenParams {
  id: string;
  core: number | null;
  /** null = mean over the heads of the core, or over all heads when core is null too. */
  head: number | null;
  /** Which text of an encoder-decoder the token is of; default: the analysed text. */
  side?: 'text' | 'target';
  /** A word may be of several tokens. */
  tokens: number[];
  top: number;
  /** What is kept under these; empty: under those already computed in the analysis; null: under none. */
  mechanisms: Setting[] | null;
  /** Value-weighted shares (`ValueWeights`) instead of masses: of one head, which is named. */
  byValue?: boolean;
  /** Refused where the model would have to run again. */
  keptOnly?: boolean;
}

/** What a hover shows. */
export interface TokenAttention {
  token: number;
  /** Of the token as a query; 0 where it is none in the chosen core (a cross-attention's keys). */
  entropy: number;
  looksAt: Link[];
  /** The text that `looksAt` is of. */
  looksAtSide: 'text' | 'target';
  lookedAtBy: Link[];
  lookedAtBySide: 'text' | 'target';
  /** Of a mean over all heads, where cross attention has the token: the keys it looks at in the other text, what there looks at it. */
  across?: { looksAt: Link[]; lookedAtBy: Link[] };
  loss: number | null;
  kept: {
    mechanism: Setting;
    /** Share of this token's mass that is kept. */
    mass: number;
    /** The heaviest key that is dropped. */
    costliestLost: Link | null;
    deltaLoss: number | null;
  }[];
}

export interface MechanismParamsRequest {
  id: string;
  mechanism: Setting;
  scope: 'local' | 'propagated';
}

export interface AtBudgetParams {
  id: string;
  /** Share of what dense attention spends, 0..1. */
  budget: number;
  /** What it is paid in. Default: pairs. */
  unit?: BudgetUnit;
  /** Names; empty = all that have settings for a budget. */
  mechanisms: string[];
}

export interface CompareParams {
  id: string;
  /** Empty = all that were computed so far. */
  mechanisms: Setting[];
}

export interface SpanFitParams {
  id: string;
  /** Fit so that each head keeps this share of its mass ... */
  massTarget?: number;
  /** ... or so that all heads together spend this share of the dense pairs. */
  budget?: number;
  ramp: number;
}

export interface SpanFit {
  ramp: number;
  heads: {
    core: number;
    head: number;
    /** z of the soft mask, in tokens. */
    span: number;
    recall: number;
    pairs: number;
    densePairs: number;
    /** The text's length cuts it off: it grew when the text doubled, or takes more than half of it. */
    censored: boolean;
    /** How it grows with the length, fitted to the text's beginnings; likely not at all where it is not cut off. */
    growth: Growth;
  }[];
}

/** For one head: the heaviest keys outside the mask, in words of tokens. */
export interface OutsideSpanParams extends HeadRef {
  span: number;
  ramp: number;
}

export interface OutsideSpan {
  /** Mean mass outside. */
  mass: number;
  heaviest: { query: number; key: number; distance: number; mass: number }[];
}

export interface BucketParams extends HeadRef {
  /** `lsh` or `routing` (or any mechanism whose view is "buckets"). */
  mechanism: Setting;
}

export interface Buckets {
  /** LSH rounds, or 1 for routing. */
  rounds: number;
  count: number;
  /** [rounds][N]: bucket of each query token, -1 = none. For routing: its best cluster among those that hold it. */
  queryBucket: Int32Array[];
  keyBucket: Int32Array[];
  /** [rounds][count] */
  sizes: Int32Array[];
  /** How many buckets hold each token as a query (routing may hold it in several or none). */
  multiplicity: Int32Array;
  uncovered: number;
  recall: number;
  /** Mass that would be kept by chance with the same sizes. */
  chanceRecall: number;
  /** Parameters that are sizes of what was learned, given or made for the text: as many clusters as there are centroids. */
  settled?: MechanismParams;
  /** Heaviest pairs that no round caught. */
  missed: { query: number; key: number; mass: number }[];
  /** Joint 2-D projection (principal components) of unit-length queries and keys, [N*2] each. */
  projection: { queries: Float32Array; keys: Float32Array; centers: Float32Array; explained: number };
}

/** The map with queries and keys permuted so that buckets are contiguous, reduced to size x size. */
export interface BucketMapParams extends BucketParams {
  round: number;
  size: number;
}

export interface BucketMap {
  rows: number;
  columns: number;
  mass: Float32Array;
  kept: Float32Array;
  /** First row / column of each bucket in cells, ascending. */
  rowStarts: Float32Array;
  columnStarts: Float32Array;
}
