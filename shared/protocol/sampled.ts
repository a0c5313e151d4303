/** Analyses without a dense pass: what ran in the cores, and what figures from a sample of queries are worth. */
import type { GivenSetting, Setting } from '../setting';
import type { Interval } from './mechanisms';
import type { HeadAssignment } from './plans';

/** What attends in every core in place of dense attention: one mechanism, or one for each head (given, or the JSON file of a plan). */
export type ChosenAttention =
  | { setting: GivenSetting; heads?: undefined; plan?: undefined }
  | { heads: readonly HeadAssignment[]; setting?: undefined; plan?: undefined }
  | { plan: string; setting?: undefined; heads?: undefined };

/** A mean over a random sample of queries, with its 95 % interval. */
export interface Estimate extends Interval {
  mean: number;
}

/** How many pairs ran, of those that dense attention has. */
export interface PairsSeen {
  /** null = what ran keeps no set of pairs. */
  pairs: number | null;
  densePairs: number;
}

/** What the figures of a head rest on: exact rows of the sampled queries, on the Q, K and V of this very run. */
export interface SampledHead extends PairsSeen {
  queries: number;
  /** The dense mass of a query that what ran here leaves out; null where it keeps no set of pairs. */
  missed: Estimate | null;
  entropy: Estimate;
  span95: Estimate;
}

/** A query that looks at one far key: found by a search, its mass computed exactly. */
export interface FarLink {
  core: number;
  head: number;
  query: number;
  key: number;
  mass: number;
}

/** Of a whole analysis; pairs of all heads that keep a set of them. */
export interface SparseAnalysis extends PairsSeen {
  /** null = one for each head. */
  setting: Setting | null;
  /** The file of the plan that says which. */
  plan?: string;
  /** Queries of each core whose rows were computed exactly. */
  queries: number;
  /** Mean over all heads that keep a set of pairs. */
  missed: Estimate | null;
  /** The strongest, heaviest first; empty where what ran looks for none. */
  links: FarLink[];
}
