/** A model's heads over many texts. */
import type { Interval } from './mechanisms';
import type { CoreInfo, DeviceChoice } from './models';
import type { Role } from './text';

/** What is known of every single query. */
export const QUERY_MEASURES = [
  'entropy',
  'relativeEntropy',
  'meanDistance',
  'span90',
  'span95',
  'span99',
  'self',
  'previous',
  'next',
  'first',
  'largestMass',
  'farMass',
  'largestScore',
  'outputNorm',
] as const;
export type QueryMeasure = (typeof QUERY_MEASURES)[number];

/** What the excerpts of a head are ranked by: the mass on one far key, the highest score, the norm of the output. */
export const CRITERIA = ['farMass', 'largestScore', 'outputNorm'] as const satisfies readonly QueryMeasure[];
export type Criterion = (typeof CRITERIA)[number];

/** A distribution is over single queries, or over the values that texts have as a whole. */
export type Over = 'queries' | 'texts';

/** Part of the corpus: `all`, `kind:` and the file extension, `length:` and the largest number of tokens of the class. */
export type Facet = string;

export interface CorpusDistribution {
  over: Over;
  measure: string;
  facet: Facet;
  count: number;
  mean: number;
  /** Standard deviation. */
  deviation: number;
  /** 95 % interval of the mean over texts; null over queries, which are no independent draws. */
  interval: Interval | null;
  min: number;
  max: number;
  p5: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
}

export interface CorpusRole {
  role: Role;
  facet: Facet;
  /** Texts in which the head has the role, of so many. */
  texts: number;
  of: number;
  interval: Interval;
}

/** A query in its context. */
export interface Excerpt {
  file: string;
  /** From 1. */
  line: number;
  /** Token of the query, and its place in the text (UTF-16). */
  query: number;
  start: number;
  end: number;
  /** The tokens around it, as the text has them. */
  tokens: string[];
  /** The query's entry in `tokens`. */
  at: number;
}

/** What one head does there. */
export interface HeadExcerpt extends Excerpt {
  criterion: Criterion;
  /** Among the most, the least, or a decile (1 .. 10) of an even sample of all queries. */
  place: 'most' | 'least' | number;
  value: number;
  /** The query's mass on each of `tokens`. */
  masses: number[];
  /** The far key with the most mass, where there is one. */
  far: { key: number; line: number; text: string; mass: number } | null;
}

/** What of a token a head's projections show: the query, the key, the output there. */
export const PROJECTED = ['query', 'key', 'output'] as const;
export type Projected = (typeof PROJECTED)[number];

/** The sampled tokens by the principal components of one head's vectors. */
export interface Projection {
  of: Projected;
  /** Of the variance, by component, largest first. */
  shares: number[];
  /** [sample, components] in one list. */
  coordinates: number[];
}

export interface CorpusHead {
  core: number;
  head: number;
  distributions: CorpusDistribution[];
  roles: CorpusRole[];
  excerpts: HeadExcerpt[];
  /** Of `CorpusProfile.sample`; none where the core looks from one text at another. */
  projections: Projection[];
}

export interface CorpusText {
  file: string;
  kind: string;
  tokens: number;
  loss: number | null;
  /** Why it was skipped. */
  failed: string | null;
}

/** What decides a profile beside its texts: equal for what may be merged. */
export interface CorpusSettings {
  version: string;
  model: string;
  /** SHA-256 of its files (`ModelFingerprint`). */
  modelSha256: string | null;
  parameters: number;
  device: string;
  maxTokens: number;
  mechanisms: string[];
  propagate: boolean;
}

/** `corpus/profile`: the texts of a folder. */
export interface CorpusParams {
  /** What paths are relative to, and the paths: files, folders and patterns. */
  root: string;
  paths: string[];
  /** Where the profile is kept, and gone on with. */
  folder: string;
  model: string;
  device: DeviceChoice;
  maxTokens: number;
}

export interface CorpusProgress {
  folder: string;
  done: number;
  of: number;
  text: CorpusText;
}

export interface CorpusProfile {
  settings: CorpusSettings;
  cores: CoreInfo[];
  texts: CorpusText[];
  /** Lists of so many texts, cut into so many shards, of which these are not here. */
  missing: { texts: number; of: number; shards: number[] }[];
  heads: CorpusHead[];
  /** An even sample of all queries, the same for every head. */
  sample: Excerpt[];
  /** Of the model as a whole: loss, and what mechanisms change of it. */
  model: CorpusDistribution[];
}
