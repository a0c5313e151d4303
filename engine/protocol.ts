/**
 * Everything the extension and the webview know of the engine: requests, replies, notifications.
 *
 * The engine is a child process. Messages go over Node's IPC channel with `serialization: 'advanced'`,
 * so typed arrays travel as they are. The webview speaks the same requests; the extension passes them on.
 *
 * Units: distances and spans in tokens, entropy and loss in nats, mass and recall as shares of 1,
 * text positions in UTF-16 code units of the analysed text, times in milliseconds.
 */
import type { CostProgress, CostRequests } from './costProtocol';
import type { LensRequests } from './lensProtocol';

export * from './costProtocol';
export * from './lensProtocol';

// ---------------------------------------------------------------- models and devices

export type DeviceName = 'cpu' | 'webgpu' | 'cuda' | 'dml' | 'coreml';
export type DeviceChoice = 'auto' | DeviceName;

/** The device that really runs, and why the wished-for one does not, if so. */
export interface DeviceReport {
  device: DeviceName;
  requested: DeviceChoice;
  /** One sentence per provider that was tried and not taken. */
  notes: string[];
}

export type ModelKind = 'decoder' | 'encoder' | 'encoder-decoder';
export type CoreKind = 'self' | 'encoder' | 'decoder' | 'cross';

export interface CoreInfo {
  /** Position in execution order. */
  core: number;
  kind: CoreKind;
  /** Layer within its stack, from 0. */
  layer: number;
  heads: number;
  kvHeads: number;
  dim: number;
  /** In words: "causal", "causal, window 128", "full, relative bias". */
  mask: string;
  causal: boolean;
}

/** Proof that the cut model is the model: largest differences to the uncut model in ONNX Runtime. */
export interface Verification {
  /** Own cores against the uncut model, absolute, over all outputs and lengths tried. */
  maxAbsDiff: number;
  /** The same divided by the largest absolute output. */
  maxRelDiff: number;
  /** Cores run by ONNX Runtime at the same optimisation level gave the same bits. */
  bitEqual: boolean;
  /** What it was compared with, and at which lengths. */
  reference: string;
}

export interface ModelInfo {
  name: string;
  /** What the user gave: "bundled", a path, a hub id. */
  ref: string;
  kind: ModelKind;
  layers: number;
  /** Heads per core (the largest, if they differ). */
  heads: number;
  causal: boolean;
  parameters: number;
  /** Longest text in tokens, or null when the model sets no limit. */
  context: number | null;
  vocabulary: number | null;
  /** False for base models: then there is no loss. */
  languageModelHead: boolean;
  cores: CoreInfo[];
  verified: Verification;
}

// ---------------------------------------------------------------- mechanisms

/** One parameter of a mechanism; forms, settings and help are made from it. */
export interface ParameterInfo {
  name: string;
  type: 'integer' | 'number' | 'boolean' | 'string';
  default: number | boolean | string | null;
  /** How the default follows from the text when `default` is null, e.g. "square root of the tokens". */
  defaultRule?: string;
  minimum?: number;
  maximum?: number;
  choices?: string[];
  description: string;
}

export interface MechanismInfo {
  name: string;
  title: string;
  /** One sentence. */
  summary: string;
  /** Authors, title, year, section. */
  paper: string;
  parameters: ParameterInfo[];
  /** The view that explains it best. */
  view: 'spans' | 'buckets' | 'map';
  /** False when the choice of pairs looks at the whole text, future included. */
  causalSelection: boolean;
}

export type MechanismParams = Record<string, number | boolean | string>;

export interface MechanismChoice {
  name: string;
  params: MechanismParams;
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
  /** Relative error of the attention over a compressed memory against that over its tokens, where there is one. */
  reconstruction?: number;
  /** Only after `analysis/compare`. */
  measures?: HeadMeasures;
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
  /** KL(the mechanism's row || the dense row), nats, over queries that keep anything; null where it is not finite or weights are negative. */
  kl: number | null;
  /** Queries of the sample with a negative weight (low-rank maps). */
  negative: number;
}

/** Means of `HeadMeasures` over all heads that have them. */
export type MechanismMeasures = Pick<
  HeadMeasures,
  'recallInterval' | 'outputErrorInterval' | 'sampled' | 'queries' | 'entmaxRecall' | 'topPRecall' | 'kl'
>;

export interface MechanismResult {
  name: string;
  params: MechanismParams;
  /** What the parameters with a `defaultRule` came to on this text. */
  settled?: MechanismParams;
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
  pairs: number;
  densePairs: number;
  milliseconds: number;
  heads: HeadComparison[];
  /** Only after `analysis/compare`. */
  measures?: MechanismMeasures;
  /** Labels the user must see, e.g. "selection looks at the whole text". */
  notes: string[];
}

// ---------------------------------------------------------------- text and measures

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

export type Role =
  | 'self'
  | 'previous'
  | 'next'
  | 'first'
  | 'separator'
  | 'punctuation'
  | 'duplicate'
  | 'induction'
  | 'local'
  | 'broad';

export interface RoleScore {
  role: Role;
  /** The mass (0..1) that earned the role. */
  score: number;
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
  };
  roles: RoleScore[];
  /** Mass by relative distance |i-j|, log-spaced bins: bin b holds distances edges[b] .. edges[b+1]-1. */
  distance: { edges: Int32Array; mass: Float32Array };
  thumbnail: Thumbnail;
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

// ---------------------------------------------------------------- analysis

export interface AnalyzeParams {
  /** Chosen by the caller; names the analysis in all later requests. A second start with the same id replaces it. */
  id: string;
  model: string;
  text: string;
  /** Encoder-decoders: the text the decoder reads. Absent or null: generated by the model (see `TargetText`). */
  target?: string | null;
  device: DeviceChoice;
  /** Cut the text after so many tokens; null = the model's context. */
  maxTokens: number | null;
  mechanisms: MechanismChoice[];
  propagate: boolean;
}

/** What the decoder of an encoder-decoder reads. */
export interface TargetText {
  text: string;
  tokens: TokenTable;
  /**
   * `generated`: greedily by the model itself. `text`: the analysed text stands in, since the model feeds both sides from
   * one input, or the tokenizer marks no start and end token with which a generation could begin and stop.
   */
  source: 'given' | 'generated' | 'text';
}

/** Which text the queries and the keys of a core come from. */
export function sidesOf(kind: CoreKind): { queries: 'text' | 'target'; keys: 'text' | 'target' } {
  if (kind === 'decoder') return { queries: 'target', keys: 'target' };
  return { queries: kind === 'cross' ? 'target' : 'text', keys: 'text' };
}

export interface AnalysisSummary {
  id: string;
  model: ModelInfo;
  device: DeviceReport;
  tokens: TokenTable;
  /** null unless the model is an encoder-decoder. */
  target: TargetText | null;
  cores: CoreResult[];
  /** Loss of predicting token i+1 from the tokens up to i, [N-1]; null without a language-model head or causality. */
  loss: { mean: number; perToken: Float32Array } | null;
  mechanisms: MechanismResult[];
  timings: Record<string, number>;
  peakRssMiB: number;
  /** Sentences the user must see: text was cut, device fell back, ... */
  notes: string[];
}

export interface AnalysisProgress {
  id: string;
  phase: 'model' | 'tokens' | 'dense' | 'mechanism' | 'propagate' | 'plan';
  /** 0..1 over the whole analysis. */
  fraction: number;
  message: string;
}

// ---------------------------------------------------------------- details on demand

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
  mechanism?: MechanismChoice;
}

export const TILE_SIZE = 128;

export interface Tile {
  rows: number;
  columns: number;
  /** rows*columns, mass. */
  mass: Float32Array;
  /** Share of the cell's mass that the mechanism keeps, 0..1. */
  kept?: Float32Array;
}

/** One query's distribution over keys, or what one key receives from every query. */
export interface RowParams extends HeadRef {
  token: number;
  direction: 'from' | 'to';
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
  token: number;
  top: number;
  /** Mechanisms already computed in the analysis are used when empty. */
  mechanisms: MechanismChoice[];
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
  loss: number | null;
  kept: {
    mechanism: MechanismChoice;
    /** Share of this token's mass that is kept. */
    mass: number;
    /** The heaviest key that is dropped. */
    costliestLost: Link | null;
    deltaLoss: number | null;
  }[];
}

export interface MechanismParamsRequest {
  id: string;
  mechanism: MechanismChoice;
  scope: 'local' | 'propagated';
}

export interface AtBudgetParams {
  id: string;
  /** Share of the dense pairs, 0..1. */
  budget: number;
  /** Names; empty = all that have settings for a budget. */
  mechanisms: string[];
}

export interface CompareParams {
  id: string;
  /** Empty = all that were computed so far. */
  mechanisms: MechanismChoice[];
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
  mechanism: MechanismChoice;
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

// ---------------------------------------------------------------- changed runs: assignments, plans, interventions

/** What changes when the model runs on with changed attention (propagated). */
export interface RunEffect {
  /** `loss`: nats per predicted token; `output`: 1 - cosine of the output rows, for models that predict no next token. */
  measure: 'loss' | 'output';
  /** Mean change over tokens. */
  delta: number;
  /** [N-1] of the loss, [N] of the output; of the target text where there is one. */
  perToken: Float32Array;
  /** In plans, with a loss: mean KL divergence of the next-token distribution from the dense model's, nats. */
  divergence?: number;
}

/** The mechanism of one head. Heads that are not named stay dense. */
export interface HeadAssignment {
  core: number;
  head: number;
  choice: MechanismChoice;
}

export interface AssignParams {
  id: string;
  heads: HeadAssignment[];
}

/** The model run on with a mechanism of its own in each head. */
export interface AssignResult {
  effect: RunEffect;
  /** Of every assigned head, local. */
  heads: HeadComparison[];
  /** Over all heads of the model, dense ones included. */
  pairs: number;
  densePairs: number;
}

export interface PlanParams {
  id: string;
  /** Share of the dense query-key pairs that all heads together may spend, 0..1. */
  budget: number;
  /** Names of the mechanisms to choose from; empty = all that keep a set of pairs and work on this model. */
  mechanisms: string[];
  /** How often the model may be run to correct the choice and to compare it. */
  maxRuns: number;
}

/** One head under one setting: a point of its sparsity-recall picture. Local. */
export interface PlanCandidate extends HeadComparison {
  choice: MechanismChoice;
  /** No other candidate of this head has at most its pairs and a smaller output error. */
  onFront: boolean;
}

export interface PlannedHead extends HeadComparison {
  choice: MechanismChoice;
  /** Propagated change per squared output error, as measured or estimated; what the choice weighs errors with. */
  sensitivity: number;
}

export interface Plan {
  budget: number;
  /** Spent. */
  pairs: number;
  densePairs: number;
  heads: PlannedHead[];
  effect: RunEffect;
  /** The best setting of each mechanism in every head within the budget, least change first. */
  uniform: { choice: MechanismChoice; share: number; effect: RunEffect }[];
  /** Assignments drawn at random from the candidates within the same budget: mean and range of the change. */
  random: { runs: number; mean: number; least: number; most: number };
  /** False when the best uniform choice or a random assignment lost less; `notes` says so. */
  wins: boolean;
  /** Change against budget, from few pairs to many; `measured` false = predicted from local errors. */
  curve: { share: number; delta: number; measured: boolean }[];
  /** Every run that was made on the way. */
  tried: { what: string; delta: number; divergence?: number; kept: boolean }[];
  candidates: PlanCandidate[];
  notes: string[];
}

export type Side = 'text' | 'target';

/**
 * Something taken away from the attention of the model. `core` and `head` null = all. Tokens in all cores are tokens of
 * `side` (default: the analysed text), and the cores are those whose keys, and queries where some are named, are of it.
 */
export type Intervention =
  /** The head's output is zero. */
  | { kind: 'head'; core: number; head: number }
  /** Queries do not see the keys `from` .. `to`-1 (text or target tokens, as the core's keys are); `queries` null = all. */
  | {
      kind: 'span';
      core: number | null;
      head: number | null;
      from: number;
      to: number;
      queries: { from: number; to: number } | null;
      side?: Side;
    }
  /** One query does not see one key. */
  | { kind: 'edge'; core: number | null; head: number | null; query: number; key: number; side?: Side }
  /** These heads attend by a mechanism. */
  | { kind: 'mechanism'; core: number | null; head: number | null; choice: MechanismChoice };

export interface InterveneParams {
  id: string;
  /** All at once; empty = the dense model. */
  interventions: Intervention[];
}

export interface InterventionResult {
  interventions: Intervention[];
  effect: RunEffect;
  notes: string[];
}

/** The tokens that a changed run hurts most, each with the heaviest key that its heads lost. */
export interface WorstTokensParams {
  id: string;
  heads: HeadAssignment[];
  /** On top of `heads`; a mechanism in all heads is one intervention. */
  interventions?: Intervention[];
  /** Tokens to explain: positions of the queries that predict (token i predicts i+1). */
  queries: number[];
}

export interface LostKey {
  query: number;
  /** null when no head lost any key of this query. */
  lost: {
    core: number;
    head: number;
    /** Of the text that the core's keys are of. */
    key: number;
    /** Dense mass, local. */
    mass: number;
    /** null where query and key are of different texts. */
    distance: number | null;
  } | null;
}

/** `flex`: FlexAttention masks in Python; `minference`: its best patterns; `duo`: DuoAttention's full heads. */
export type PlanFormat = 'json' | 'csv' | 'flex' | 'minference' | 'duo';

export interface ExportPlanParams {
  id: string;
  plan: Plan;
  format: PlanFormat;
}

export interface ExportedPlan {
  /** File name to suggest. */
  name: string;
  text: string;
  /** Sentences on what the format cannot say: approximations and heads left dense. */
  notes: string[];
}

/** `analysis/report`: the views with this analysis inside, as one HTML file that opens without a network. */
export interface ReportParams {
  id: string;
  /** Name of the document, for the title. */
  document: string;
  /** As it was analysed: what the token offsets are of. */
  text: string;
  /** As the analysis gave it, with the mechanisms computed since. */
  summary: AnalysisSummary;
  plan: Plan | null;
  intervention: InterventionResult | null;
}

export { KEPT_CODES, LINK_CODES, LOST_CODES } from './export/reportData';
export type { MassCodes, ReportBuckets, ReportCore, ReportData, ReportHead } from './export/reportData';

export interface HubModel {
  ref: string;
  label: string;
  detail: string;
  source: 'bundled' | 'workspace' | 'recent' | 'hub';
}

// ---------------------------------------------------------------- the method map

export interface InitializeParams {
  device: DeviceChoice;
  memoryLimitMiB: number;
}

export interface InitializeResult {
  version: string;
  mechanisms: MechanismInfo[];
}

/** Every request: its parameters and its reply. */
export interface EngineRequests extends CostRequests, LensRequests {
  initialize: { params: InitializeParams; result: InitializeResult };
  'models/list': { params: { folders: string[] }; result: HubModel[] };
  /** The .onnx files of a hub model with their sizes, the one that its id alone stands for first. */
  'models/variants': { params: { ref: string }; result: HubModel[] };
  'models/load': { params: { ref: string; device: DeviceChoice }; result: ModelInfo };
  'analysis/start': { params: AnalyzeParams; result: AnalysisSummary };
  'analysis/mechanism': { params: MechanismParamsRequest; result: MechanismResult };
  /** Fills in `measures` of the results and of their heads. */
  'analysis/compare': { params: CompareParams; result: MechanismResult[] };
  /** Each mechanism in every head with the best of its settings for a budget. Local; kept by the caller only. */
  'analysis/atBudget': { params: AtBudgetParams; result: MechanismResult[] };
  'analysis/assign': { params: AssignParams; result: AssignResult };
  'analysis/intervene': { params: InterveneParams; result: InterventionResult };
  'analysis/worst': { params: WorstTokensParams; result: LostKey[] };
  /** A mechanism per head for a budget; needs a finished analysis. */
  'analysis/plan': { params: PlanParams; result: Plan };
  'analysis/tile': { params: TileParams; result: Tile };
  'analysis/row': { params: RowParams; result: Float32Array };
  'analysis/token': { params: TokenParams; result: TokenAttention };
  'analysis/spans': { params: SpanFitParams; result: SpanFit };
  'analysis/outsideSpan': { params: OutsideSpanParams; result: OutsideSpan };
  'analysis/buckets': { params: BucketParams; result: Buckets };
  'analysis/bucketMap': { params: BucketMapParams; result: BucketMap };
  'analysis/exportPlan': { params: ExportPlanParams; result: ExportedPlan };
  'analysis/report': { params: ReportParams; result: { html: string } };
  'analysis/dispose': { params: { id: string }; result: null };
  shutdown: { params: Record<string, never>; result: null };
}

/** Everything the engine says unasked. */
export interface EngineNotifications {
  'analysis/progress': AnalysisProgress;
  'cost/progress': CostProgress;
  /** Sent once, before the first core: what the summary will say of model, device and tokens. */
  'analysis/began': {
    id: string;
    model: ModelInfo;
    device: DeviceReport;
    tokens: TokenTable;
    target: TargetText | null;
  };
  'analysis/core': { id: string; result: CoreResult };
  'analysis/mechanismDone': { id: string; result: MechanismResult };
  'analysis/planDone': { id: string; plan: Plan };
  log: { level: 'info' | 'warn' | 'error'; message: string };
}

export type EngineMethod = keyof EngineRequests;
export type EngineParams<M extends EngineMethod> = EngineRequests[M]['params'];
export type EngineResult<M extends EngineMethod> = EngineRequests[M]['result'];

/** JSON-RPC error codes beyond the standard ones. `message` is always one clear sentence for the user. */
export const ErrorCode = {
  /** The input (model, text, tensors) is refused, with the reason. */
  refused: 1,
  /** No analysis of that id, or the core is not finished. */
  unknownAnalysis: 2,
  cancelled: -32800,
} as const;
