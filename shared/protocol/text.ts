/** The analysed text as tokens, and the measures of a head over it. */
import type { CoreInfo } from './models';
import type { SampledHead } from './sampled';

/** Tokens of the analysed text. `start`/`end` are UTF-16 offsets into it; special tokens have start = end. */
export interface TokenTable {
  ids: Int32Array;
  start: Int32Array;
  end: Int32Array;
  /** The token as the vocabulary has it, made readable (no byte-level markers). */
  text: string[];
  special: Uint8Array;
  /** Tokens the text has; larger than `ids.length` when it was cut to the limit. */
  total: number;
  /** True when the text is so long that only its beginning was tokenised: then `total` is an estimate. */
  estimated?: boolean;
}

export const ROLES = [
  'self',
  'previous',
  'next',
  'offset',
  'first',
  'separator',
  'punctuation',
  'duplicate',
  'induction',
  'local',
  'broad',
] as const;

export type Role = (typeof ROLES)[number];

export interface RoleScore {
  role: Role;
  /** The mass (0..1) that earned the role. */
  score: number;
  /** Of `offset`: how many tokens from the query its keys stand, before it unless `ahead`. */
  distance?: number;
  ahead?: true;
}

export interface Quantiles {
  p5: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
}

/** All measures of one head over one text; values are means over queries. */
export interface HeadProfile {
  core: number;
  head: number;
  entropy: number;
  /** Mean of entropy / log(visible keys), 0 = one key, 1 = uniform. */
  relativeEntropy: number;
  meanDistance: number;
  span90: number;
  span95: number;
  span99: number;
  span90Quantiles: Quantiles;
  span95Quantiles: Quantiles;
  span99Quantiles: Quantiles;
  /** Mean mass on these targets, whatever the role. */
  to: {
    self: number;
    previous: number;
    next: number;
    first: number;
    separator: number;
    punctuation: number;
    /** Of models whose softmax has a sink beside the keys. */
    sink?: number;
  };
  roles: RoleScore[];
  /** Mass by relative distance |i-j|, log-spaced bins: bin b holds distances edges[b] .. edges[b+1]-1. */
  distance: { edges: Int32Array; mass: Float32Array };
  thumbnail: Thumbnail;
  /** All of it comes from exact rows of a sample of queries; absent = of every query. */
  sampled?: SampledHead;
}

/** A small picture of the head's map: mean mass per cell relative to its row, rows = queries. */
export interface Thumbnail {
  size: number;
  /** size*size, 0..255 = square root of (mass in the cell / mass in its heaviest cell). */
  pixels: Uint8Array;
}

export interface CoreResult {
  info: CoreInfo;
  heads: HeadProfile[];
}

export type Side = 'text' | 'target';
