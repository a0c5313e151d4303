/**
 * What an HTML report embeds: the summary of an analysis and, for every head, what the views ask the engine for,
 * rounded and bounded so that the file stays small (written by `service/report.ts`), or the profile of a corpus. Read by
 * `webview/report`.
 */
import type { AnalysisSummary } from './protocol/analysis';
import type { CorpusProfile } from './protocol/corpus';
import type { Selection } from './protocol/selection';
import type { CostFormulas } from './protocol/cost';
import type { Buckets } from './protocol/details';
import type { Ablation, Intervention, InterventionResult, LostKey } from './protocol/interventions';
import type { Setting, MechanismInfo } from './protocol/mechanisms';
import type { HeadAssignment, Plan } from './protocol/plans';
import type { SpanMask } from './softSpan';

/** Masses in one byte: value = largest x (code / 255)^2, so that small masses keep their differences. */
export interface MassCodes {
  largest: number;
  codes: Uint8Array;
}

/** Largest codes of the mass of a link, and of the heaviest lost key: value = (code / largest)^2. */
export const LINK_CODES = 1023;
export const LOST_CODES = 63;

/** Largest code of a share that is kept (0..15 stands for 0..1). */
export const KEPT_CODES = 15;

export interface ReportMechanism {
  choice: Setting;
  /** False for kernel and low-rank mechanisms: then every head's `kept` is null. */
  keepsPairs: boolean;
}

/** What one mechanism keeps of one head. */
export interface ReportKept {
  /** [rows x columns] at the level `keptLevel`: share of the cell's mass, code / KEPT_CODES. */
  cells: Uint8Array;
  /** [queries]: share of the query's mass, code / 255. */
  mass: Uint8Array;
  /** [queries]: the heaviest key that is dropped, plus 1; 0 = none. */
  lostKey: Uint16Array | Uint32Array;
  /** [queries]: its mass, (code / LOST_CODES)^2. */
  lostMass: Uint8Array;
}

export interface ReportBucketMap {
  rows: number;
  columns: number;
  mass: MassCodes;
  /** code / KEPT_CODES */
  kept: Uint8Array;
  rowStarts: Float32Array;
  columnStarts: Float32Array;
}

/** `Buckets` without the points, which all mechanisms of a head share, and with the sorted map of each round. */
export interface ReportBuckets extends Omit<Buckets, 'projection'> {
  centers: Float32Array;
  explained: number;
  maps: ReportBucketMap[];
}

export interface ReportHead {
  /** [rows x columns] at the level `level`: the heaviest pair and the mean of each cell. `mean` is null at level 0. */
  max: MassCodes;
  mean: MassCodes | null;
  /**
   * [queries x links]: the heaviest keys of each query, the last first, each as the distance back from the one before it (the first
   * from the query's position), modulo the range of the type.
   */
  linkGaps: Uint16Array | Uint32Array;
  /** (code / LINK_CODES)^2; 0 = no such link. */
  linkMass: Uint16Array;
  /** [queries], nats. */
  entropy: Float32Array;
  /** One per entry of `mechanisms`. */
  kept: (ReportKept | null)[];
  /** One per entry of `mechanisms`; null where it has no buckets. */
  buckets: (ReportBuckets | null)[];
  /** [tokens x 2] each, coordinate = code / 127 x `extent`; null when no mechanism has buckets. */
  points: { queries: Int8Array; keys: Int8Array; extent: number } | null;
}

export interface ReportCore {
  queries: number;
  keys: number;
  /** Maps are reduced by 2^level; what mechanisms keep by 2^keptLevel, no finer. */
  level: number;
  keptLevel: number;
  mask: SpanMask;
  /** [heads x distances]: mean mass at each distance. */
  byDistance: Float32Array;
  heads: ReportHead[];
}

/** The keys that a changed run's worst tokens lost. */
export interface ReportChange {
  heads: HeadAssignment[];
  interventions: Intervention[];
  lost: LostKey[];
}

/** Of every report. */
interface ReportOrigin {
  /** Version of the product that made it. */
  version: string;
  /** Day it was made, as 2026-01-31. */
  made: string;
}

/** A report of many texts. */
export interface CorpusReport extends ReportOrigin {
  /** What was profiled, in words. */
  document: string;
  profile: CorpusProfile;
}

/** What the views ask an engine for, beside the analysis itself. */
export interface ReportDetails extends ReportOrigin {
  infos: MechanismInfo[];
  /** The finest level of the maps (of shorter texts within the model it may be finer). */
  level: number;
  /** Links kept of each query. */
  links: number;
  mechanisms: ReportMechanism[];
  cores: ReportCore[];
  /** One for each core. */
  costs: CostFormulas[];
  changes: ReportChange[];
}

export interface ReportData extends ReportDetails {
  /** Name of the analysed document. */
  document: string;
  /** The analysed text, as far as the model read it. */
  text: string;
  summary: AnalysisSummary;
  plan: Plan | null;
  /** What was taken away when the report was made, and what that changed. */
  intervention: InterventionResult | null;
  /** What losing each head costs, where it was measured. */
  ablation?: Ablation;
  /** What was looked at when it was saved. */
  selection?: Selection;
}

/** Stands in the page of a report where scripts do not run. */
export const NO_SCRIPT = 'This report draws its views with JavaScript; nothing of it leaves your machine.';

/** What the page of a report holds. */
export type ReportPage = ReportData | CorpusReport;
