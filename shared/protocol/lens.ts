/**
 * Lenses: what the papers do that cannot stand in a model trained dense. Each has a view of its own that says what it
 * shows and what is synthetic or approximate in it.
 */
import type { MechanismParams } from './mechanisms';

export const LENS_NAMES = [
  'flash',
  'switch',
  'albert',
  'retro',
  'simplified',
  'scaling',
  'positions',
  'memory',
] as const;
export type LensName = (typeof LENS_NAMES)[number];

export interface LensParams<L extends LensName = LensName> {
  id: string;
  lens: L;
  /** The head in question, for lenses that look at one (or at its layer). */
  core: number;
  head: number;
  params: MechanismParams;
  /** RETRO: other texts to search, as far as the host may read them. */
  documents?: LensDocument[];
  /** A view asks the host to fill in `documents` from the workspace; the engine does not look at it. */
  searchWorkspace?: boolean;
}

export interface LensDocument {
  name: string;
  uri: string;
  text: string;
}

// ---------------------------------------------------------------- FlashAttention

/** Reads and writes of slow memory, in numbers (not bytes), for one head. */
export interface FlashIo {
  /** Numbers that fast memory holds. */
  sram: number;
  blockRows: number;
  blockColumns: number;
  /** Tiles that any pair of is visible, and all. */
  tiles: number;
  allTiles: number;
  accesses: number;
}

export interface FlashLens {
  lens: 'flash';
  tokens: number;
  dim: number;
  valueDim: number;
  causal: boolean;
  chosen: FlashIo;
  /** The same for growing fast memory. */
  curve: FlashIo[];
  /** Reads and writes of attention that writes its scores and weights out. */
  standard: number;
  /** Numbers held beside Q, K, V and O: the whole map, or two per query. */
  memory: { standard: number; flash: number };
  /** The blocked run against the dense core, as computed. */
  check: { tokens: number; maxDifference: number; largest: number; relative: number };
}

// ---------------------------------------------------------------- Switch

export interface SwitchLens {
  lens: 'switch';
  /**
   * What the router looks at: the model's own (`router`), what that router does; else a made-up one over `residual`, rows of the residual
   * stream that enter the layer, or `context`, what its heads hand on, side by side.
   */
  rowsAre: 'router' | 'residual' | 'context';
  /** Of the router. */
  layer: number;
  tokens: number;
  experts: number;
  /** First choices of each expert. */
  load: number[];
  /** Mean router probability of each expert. */
  probability: number[];
  /** Expert of each token, and its probability. */
  expert: Int32Array;
  gate: Float32Array;
  /** 1 where the expert was full before the token came. */
  dropped: Uint8Array;
  capacity: number;
  capacityFactor: number;
  dropRate: number;
  curve: { factor: number; dropRate: number }[];
  /** alpha N sum f P; alpha when even. */
  auxLoss: { value: number; alpha: number };
}

// ---------------------------------------------------------------- ALBERT

export interface AlbertLens {
  lens: 'albert';
  vocabulary: number;
  /** Width of the embedding table, and of the layers. */
  embeddingWidth: number;
  hidden: number;
  layers: number;
  parameters: number;
  /**
   * In the embedding table; in what no layer has (an output matrix that is not the table, tables of positions), which stays
   * as it is; `blocks` in everything else.
   */
  embedding: number;
  apart: number;
  blocks: number;
  rank: number;
  /** With the table factorised at `rank`, with one block for all layers, and with both. */
  factorised: number;
  shared: number;
  both: number;
  /** Relative Frobenius error of the table at each rank; null when the table cannot be had. */
  curve: { rank: number; error: number; parameters: number }[] | null;
  /** Rows of the table that the curve is of. */
  sampledRows: number;
  /** Cosine between the weights of every two layers built alike; null when they cannot be compared. */
  similarity: number[][] | null;
  paper: { vocabulary: number; hidden: number; rank: number; before: number; after: number };
  notes: string[];
}

// ---------------------------------------------------------------- RETRO

export interface RetroNeighbour {
  /** Index into `documents`, or -1: the analysed text itself. */
  source: number;
  chunk: number;
  /** UTF-16 range in its text. */
  start: number;
  end: number;
  /** First token, where the source is the analysed text. */
  token: number | null;
  similarity: number;
  text: string;
}

export interface RetroLens {
  lens: 'retro';
  tokens: number;
  chunk: number;
  /** Tokens from .. to-1; `start` and `end` in the text. */
  chunks: { from: number; to: number; text: string; neighbours: RetroNeighbour[] }[];
  /** Of the chunk whose neighbours each token reads; -1 = none yet. */
  reads: Int32Array;
  documents: { name: string; uri: string; chunks: number }[];
  notes: string[];
}

// ---------------------------------------------------------------- simplified blocks

export interface SimplifiedLens {
  lens: 'simplified';
  heads: {
    core: number;
    head: number;
    /** Mass that is uniform anyway, the diagonal's beyond that, and what remains: they add up to 1. */
    uniform: number;
    identity: number;
    rest: number;
    /** Frobenius norm of A - C, C being uniform over what is visible; and its root mean square over queries. */
    distance: number;
    distancePerQuery: number;
  }[];
  /** Mean cosine between the residual stream's rows: before each layer, and at the end. */
  collapse: { at: number | 'output'; cosine: number }[];
  parameters: {
    all: number;
    /** Value and output projections of all layers: what the simplified block does without. */
    saved: number;
    share: number;
    /** 2 of 12 parts of a textbook block. */
    textbook: number;
  };
  notes: string[];
}

// ---------------------------------------------------------------- scaling

export interface ScalingLens {
  lens: 'scaling';
  tokens: number;
  context: number | null;
  parameters: number;
  /** Without the embedding table. */
  withoutEmbedding: number;
  /** What a token is multiplied with: a table that is looked up only is not, one that is the output matrix too is. */
  multiplied: number;
  /** Operations of one forward at each length: with the weights, and of attention. */
  forward: { tokens: number; weights: number; attention: number }[];
  /** Where attention begins to outweigh the rest. */
  even: number;
  /** Bytes of keys and values kept for each token: in 16 and in 32 bits. */
  cachePerToken: { half: number; single: number };
  /** Training compute 6 N D of published models and of this one at 20 tokens per parameter. */
  models: { name: string; parameters: number; tokens: number; flops: number; own: boolean }[];
  /** Bytes of keys and values per token in 16 bits of published models. */
  caches: { name: string; bytes: number }[];
}

// ---------------------------------------------------------------- content and position

/**
 * Of layer 0 (of the stack of the head in question); of the layer itself where the model was made with Transformer-XL's scores. Terms:
 * content x content, content x position, position x content, position x position.
 */
export interface PositionsLens {
  lens: 'positions';
  core: number;
  tokens: number;
  /** Queries looked at, and the most keys of each; evenly spaced. */
  rows: number;
  keys: number;
  /** The model's own terms: what stands for the query's position is u for contents and v for positions. */
  native: boolean;
  /** The norm whose statistics are kept as those of the sum. */
  norm: 'none' | 'layer' | 'rms';
  /** By how much the parts miss queries and keys, relative to the largest. */
  error: number;
  heads: {
    head: number;
    /** Covariance of each term with the score within a query's row, over the score's variance: they add up to 1; negative = works against the others. */
    shares: number[];
    /** Of the last two shares, what the query's bias alone does. */
    ofBias: number[];
    /** Of each term with the score, within rows. */
    correlations: number[];
    /** Queries whose largest score is at the key that the term alone would choose. */
    sameChoice: number[];
  }[];
}

// ---------------------------------------------------------------- memory

/** Mass by what a segment sees: itself, the tokens before it, and slots of older ones. */
export interface MemoryLens {
  lens: 'memory';
  /** The head whose slots are told. */
  core: number;
  head: number;
  /** The model was made with this memory; else slots are means of keys and values, a what-if. */
  native: boolean;
  tokens: number;
  /** The first query that counts: the first that sees a slot, or where none does, the memory. */
  from: number;
  segment: number;
  memory: number;
  /** Slots at most (0: nothing is compressed), and tokens for each. */
  compressed: number;
  rate: number;
  cores: {
    core: number;
    /** Mean mass over the queries that count. */
    heads: {
      head: number;
      segment: number;
      memory: number;
      compressed: number;
      /** By how much attention over the slots misses attention over their tokens, relative; null where there are none. */
      reconstruction: number | null;
    }[];
  }[];
  /** What the last segment sees of its compressed memory, in the order of the text; tokens from .. to-1. */
  slots: {
    from: number;
    to: number;
    /** Mean over the segment's queries; and the query that gives the slot most. */
    mass: number;
    query: number;
    most: number;
  }[];
}

export interface LensResults {
  flash: FlashLens;
  switch: SwitchLens;
  albert: AlbertLens;
  retro: RetroLens;
  simplified: SimplifiedLens;
  scaling: ScalingLens;
  positions: PositionsLens;
  memory: MemoryLens;
}
export type LensResult = LensResults[LensName];

export interface LensRequests {
  'analysis/lens': { params: LensParams; result: LensResult };
}
