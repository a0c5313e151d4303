/**
 * Everything the extension and the webview know of the engine: requests, replies, notifications.
 *
 * The engine is a child process. Messages go over Node's IPC channel with `serialization: 'advanced'`,
 * so typed arrays travel as they are. The webview speaks the same requests; the extension passes them on.
 *
 * Units: distances and spans in tokens, entropy and loss in nats, mass and recall as shares of 1,
 * text positions in UTF-16 code units of the analysed text, times in milliseconds.
 */
import type { AnalysisProgress, AnalysisSummary, AnalyzeParams, TargetText } from './analysis';
import type { CorpusParams, CorpusProfile, CorpusProgress } from './corpus';
import type { CostProgress, CostRequests } from './cost';
import type {
  AtBudgetParams,
  BucketMap,
  BucketMapParams,
  BucketParams,
  Buckets,
  CompareParams,
  HeadRef,
  MechanismParamsRequest,
  OutsideSpan,
  OutsideSpanParams,
  RowParams,
  SpanFit,
  SpanFitParams,
  Tile,
  TileParams,
  TokenAttention,
  TokenParams,
  ValueWeights,
} from './details';
import type { ExportPlanParams, ExportedPlan, PageLanguage, ReportDetails, ReportParams } from './exports';
import type {
  Ablation,
  HeadAblation,
  InterveneParams,
  InterventionResult,
  LostKey,
  WorstTokensParams,
} from './interventions';
import type { LensRequests } from './lens';
import type { MechanismInfo, MechanismResult } from './mechanisms';
import type {
  CrashedDevice,
  DeviceChoice,
  DeviceReport,
  HubModel,
  ModelCacheInfo,
  ModelInfo,
  ModelInspection,
} from './models';
import type { AssignParams, AssignResult, Plan, PlanParams } from './plans';
import type { Prediction, PredictionParams } from './predictions';
import type { AttributionRequests } from './attribution';
import type { LossRequests } from './lossGroups';
import type { PatchRequests } from './patching';
import type { ProbeRequests } from './probe';
import type { RolloutRequests } from './rollout';
import type { CoreResult, TokenTable } from './text';

export * from './models';
export * from './embedding';
export * from './mechanisms';
export * from './notes';
export * from './text';
export * from './analysis';
export * from './details';
export * from './plans';
export * from './sampled';
export * from './interventions';
export * from './predictions';
export * from './probe';
export * from './lossGroups';
export * from './attribution';
export * from './rollout';
export * from './patching';
export * from './exports';
export * from './cost';
export * from './lens';

// ---------------------------------------------------------------- the method map

export interface InitializeParams {
  device: DeviceChoice;
  memoryLimitMiB: number;
  /** Devices that the CPU takes over from. Default none. */
  crashed?: CrashedDevice[];
}

export interface InitializeResult {
  version: string;
  mechanisms: MechanismInfo[];
}

/** Every request: its parameters and its reply. */
export interface EngineRequests
  extends
    AttributionRequests,
    CostRequests,
    LensRequests,
    LossRequests,
    PatchRequests,
    ProbeRequests,
    RolloutRequests {
  initialize: { params: InitializeParams; result: InitializeResult };
  'models/list': { params: { folders: string[] }; result: HubModel[] };
  /** The models that were downloaded, most recently used first, and where they lie. */
  'models/cache': { params: Record<string, never>; result: ModelCacheInfo };
  'models/removeCached': { params: { ids: string[] }; result: ModelCacheInfo };
  /** The .onnx files of a hub model with their sizes, the one that its id alone stands for first. */
  'models/variants': { params: { ref: string }; result: HubModel[] };
  /** What a model on the disk is, found out in a process of its own; the engine answers everybody meanwhile. */
  'models/inspect': { params: { ref: string }; result: ModelInspection };
  'models/load': { params: { ref: string; device: DeviceChoice }; result: ModelInfo };
  'analysis/start': { params: AnalyzeParams; result: AnalysisSummary };
  'analysis/mechanism': { params: MechanismParamsRequest; result: MechanismResult };
  /** Fills in `measures` of the results and of their heads. */
  'analysis/compare': { params: CompareParams; result: MechanismResult[] };
  /** Each mechanism in every head with the best of its settings for a budget. Local; kept by the caller only. */
  'analysis/atBudget': { params: AtBudgetParams; result: MechanismResult[] };
  'analysis/assign': { params: AssignParams; result: AssignResult };
  'analysis/intervene': { params: InterveneParams; result: InterventionResult };
  /** Each head in turn without its output: which heads matter on this text. Told head by head by `analysis/ablated`. */
  'analysis/ablate': { params: { id: string; resample?: boolean }; result: Ablation };
  'analysis/worst': { params: WorstTokensParams; result: LostKey[] };
  /** A mechanism per head for a budget; needs a finished analysis. */
  'analysis/plan': { params: PlanParams; result: Plan };
  'analysis/tile': { params: TileParams; result: Tile };
  'analysis/row': { params: RowParams; result: Float32Array };
  /** What a head's attention is weighed by where its values count. */
  'analysis/valueWeights': { params: HeadRef; result: ValueWeights };
  'analysis/token': { params: TokenParams; result: TokenAttention[] };
  /** What the model predicts at tokens, before and after a change. */
  'analysis/predictions': { params: PredictionParams; result: Prediction[] };
  'analysis/spans': { params: SpanFitParams; result: SpanFit };
  'analysis/outsideSpan': { params: OutsideSpanParams; result: OutsideSpan };
  'analysis/buckets': { params: BucketParams; result: Buckets };
  'analysis/bucketMap': { params: BucketMapParams; result: BucketMap };
  'analysis/exportPlan': { params: ExportPlanParams; result: ExportedPlan };
  /** What the HTML report embeds, for a file that is opened without the model. */
  'analysis/details': { params: ReportParams; result: ReportDetails };
  'analysis/report': { params: ReportParams; result: { html: string } };
  /** A model's heads over many texts. Takes turns with other jobs, text by text. */
  'corpus/profile': { params: CorpusParams; result: CorpusProfile };
  /** A finished profile as a report: `folder` is where it is kept, `document` what was profiled, in words. */
  'corpus/report': {
    params: { folder: string; document: string; language?: PageLanguage };
    result: { html: string };
  };
  'analysis/dispose': { params: { id: string }; result: null };
  shutdown: { params: Record<string, never>; result: null };
}

/** Everything the engine says unasked. */
export interface EngineNotifications {
  'analysis/progress': AnalysisProgress;
  'cost/progress': CostProgress;
  'corpus/progress': CorpusProgress;
  /** Sent once, before the first core: what the summary will say of model, device and tokens. */
  'analysis/began': {
    id: string;
    model: ModelInfo;
    device: DeviceReport;
    tokens: TokenTable;
    target: TargetText | null;
  };
  /** Sent before a model is loaded or used: where it runs. */
  'device/used': DeviceReport;
  'analysis/core': { id: string; result: CoreResult };
  'analysis/ablated': { id: string; measure: Ablation['measure']; head: HeadAblation };
  'analysis/mechanismDone': { id: string; result: MechanismResult };
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
  /** The device that was asked for cannot be used here: no fault of the model or the text. */
  deviceRefused: 3,
  /** It takes more memory than there is, or than may be taken: less text or a smaller model helps, another try does not. */
  outOfMemory: 4,
  cancelled: -32800,
} as const;
