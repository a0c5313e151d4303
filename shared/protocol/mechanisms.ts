/** Mechanisms, and a head compared with itself under one. */
import type { MechanismParams, ParameterInfo, Setting } from '../setting';
import type { Note } from './notes';
import type { EmbeddingChange } from './embedding';

export type { MechanismParams, ParameterInfo, Setting } from '../setting';

export interface MechanismInfo {
  name: string;
  title: string;
  /** A word of at most seven letters that stands for it where the title has no room; every mechanism has its own. */
  label: string;
  /** Its colour in every figure, #rrggbb; null = grey, of dense, which all others are compared with. */
  hue: string | null;
  /** Nearer to the background: as many again can be told apart. */
  pale?: true;
  /** One sentence. */
  summary: string;
  /** Authors, title, year, section. */
  paper: string;
  parameters: ParameterInfo[];
  /** The view that explains it best. */
  view: 'spans' | 'buckets' | 'map';
  /** False when the choice of pairs looks at the whole text, future included. */
  causalSelection: boolean;
  /** It keeps no set of pairs: its map stands for another one, and is never that one. */
  approximate?: true;
  /** No choice of as many keys keeps more of each query's mass: what others are measured against. Plans choose it only where it is named. */
  floor?: true;
}

/**
 * What budgets are paid in: pairs whose value is read; floating-point operations, choosing included; blocks of 128 x 128 with
 * any pair, which a kernel runs whole; bytes of the most keys and values that are held at once, in 16 bits.
 */
export const BUDGET_UNITS = ['pairs', 'flops', 'blocks', 'kv'] as const;
export type BudgetUnit = (typeof BUDGET_UNITS)[number];

/** In each unit, and what dense attention spends. */
export type Spending = Record<BudgetUnit, { own: number; dense: number }>;

/** Of spans: a power of the text's length. */
export interface Growth {
  least: number;
  likely: number;
  most: number;
}

/** One head under one mechanism. Local: same Q, K, V as the dense model. */
export interface HeadComparison {
  core: number;
  head: number;
  /** Dense mass kept, mean over queries; null where the mechanism keeps no set of pairs. */
  recall: number | null;
  /** Fifth percentile over queries. */
  recallP5: number | null;
  /** Relative Frobenius error of the head's output. */
  outputError: number;
  pairs: number;
  densePairs: number;
  /** Queries left without any key. */
  uncovered: number;
  /** Fitted or given span in tokens, where the mechanism has one. */
  span?: number;
  /** Of a span that was fitted to the text: whether its length cuts it off, and how it grows with the length. */
  censored?: boolean;
  growth?: Growth;
  /** Relative error of the attention over a compressed memory against that over its tokens, where there is one. */
  reconstruction?: number;
  /** Only after `analysis/compare`. */
  measures?: HeadMeasures;
  /** Only where it was asked for: in budgets of another unit than pairs, and in plans. */
  spending?: Spending;
}

/** 95 % of the values that a mean takes when blocks of neighbouring queries are drawn anew (bootstrap). */
export interface Interval {
  low: number;
  high: number;
}

/** One head under one mechanism in more detail. Local; means over the sampled queries. */
export interface HeadMeasures {
  /** 1 - pairs / densePairs. */
  sparsity: number;
  /** Over all queries; null where there is no recall. */
  recallInterval: Interval | null;
  outputErrorInterval: Interval;
  /** Queries whose rows the values below come from, evenly spaced, and queries there are. */
  sampled: number;
  queries: number;
  /** Share of the pairs of the 1.5-entmax graph of the dense scores that is kept; null where the mechanism keeps no set of pairs. */
  entmaxRecall: number | null;
  /** The same of the smallest set of keys that holds 95 % of each query's mass. */
  topPRecall: number | null;
  /** Pairs per query of the two graphs. */
  entmaxPairs: number;
  topPPairs: number;
  /**
   * KL(the mechanism's row || the dense row), nats, over queries that keep anything; null where it is not finite or weights are
   * negative. Of a hard set of pairs over all queries, else over those sampled: `klQueries` of them.
   */
  kl: number | null;
  /** Absent in what an earlier version kept. */
  klQueries?: number;
  /** Queries of the sample with a negative weight (low-rank maps). */
  negative: number;
}

/** Means of `HeadMeasures` over all heads that have them. */
export type MechanismMeasures = Pick<
  HeadMeasures,
  'recallInterval' | 'outputErrorInterval' | 'sampled' | 'queries' | 'entmaxRecall' | 'topPRecall' | 'kl'
>;

export interface MechanismResult {
  /** As it was asked for. */
  setting: Setting;
  /**
   * All parameters as they came to on this text, in its first core. Without those that have no single value there: a span
   * fitted to each head, a budget where there is none.
   */
  settled: MechanismParams;
  scope: 'local' | 'propagated';
  recall: number | null;
  /** 1 - pairs / densePairs. */
  sparsity: number;
  outputError: number;
  /** Change of the mean loss when the model runs on with it; null unless propagated. */
  deltaLoss: number | null;
  /** Per token (N-1), only when propagated on a model with a language-model head. */
  deltaLossPerToken?: Float32Array;
  /** Where there is no loss: 1 - cosine between the model's output rows without and with it, mean; null unless propagated. */
  deltaOutput: number | null;
  /** Per token [N]. */
  deltaOutputPerToken?: Float32Array;
  /** Beside it: of the whole text's embedding, where the model has no head. */
  embedding?: EmbeddingChange;
  pairs: number;
  densePairs: number;
  milliseconds: number;
  heads: HeadComparison[];
  /** Only after `analysis/compare`. */
  measures?: MechanismMeasures;
  /** Of all heads, where it is known of each. */
  spending?: Spending;
  /** Labels the user must see, e.g. "selection looks at the whole text". */
  notes: Note[];
}
