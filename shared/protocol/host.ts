/**
 * Everything that the webview and the extension say to each other, and the rules that both must read alike. No DOM, no
 * 'vscode'.
 *
 * The extension is the one owner of the analysis and of the selection. A view sends `ready`, gets one `state`
 * with everything, then the small messages that follow. A change that a view asks for comes back to every view
 * (side panel and panel alike) as a message; a view never assumes that it was granted.
 */
import type {
  Ablation,
  AnalysisProgress,
  AnalysisSummary,
  BudgetUnit,
  CoreResult,
  CostMeasurement,
  CostProgress,
  DeviceName,
  DeviceReport,
  EngineParams,
  EngineResult,
  HeadShape,
  HeadAssignment,
  Intervention,
  InterventionResult,
  Setting,
  MechanismInfo,
  MechanismResult,
  ModelInfo,
  Plan,
  PlanFormat,
  RunEffect,
  TargetText,
  TokenTable,
} from './engine';
import type { CorpusProfile } from './corpus';
import type { ChangeSource, Selection } from './selection';

export * from './selection';

// ---------------------------------------------------------------- state

export interface DocumentInfo {
  /** The document's uri as a string. */
  uri: string;
  /** File name to show. */
  name: string;
  /** UTF-16 length of the analysed text. */
  length: number;
  /** Set when only a selection of the document was analysed: UTF-16 offset of its start in the document. */
  selectionStart: number | null;
}

/** Known from the first moment of a run: the columns and rows to fill. */
export interface Began {
  model: ModelInfo;
  device: DeviceReport;
  tokens: TokenTable;
  /** null unless the model is an encoder-decoder. */
  target: TargetText | null;
}

/** What is taken away from the attention of the shown text, and what that changes. */
export interface Interventions {
  list: Intervention[];
  /** Of the whole list at once; null while it is run, when that failed, and when the list is empty. */
  result: InterventionResult | null;
  /** How far the run is, 0..1; null when none goes on. */
  running: number | null;
  /** One sentence: why it was not run, or what could not be kept when the text was analysed anew. */
  notice: string | null;
}

export const NO_INTERVENTIONS: Interventions = { list: [], result: null, running: null, notice: null };

/** What losing each head costs, as far as it was measured. */
export interface Ablating extends Ablation {
  /** How far the run is, 0..1; null when none goes on. */
  running: number | null;
  /** As far as it can be told. */
  secondsLeft?: number;
  /** Why it was not run to its end; null also when it was stopped. */
  error: string | null;
}

/** A plan that is being made or changed; `error` = it was not, and why. */
export interface Planning {
  budget: number;
  /** 0..1 */
  fraction: number;
  message: string;
  /** As far as it can be told. */
  secondsLeft?: number;
  error: string | null;
}

export type AnalysisState =
  | { status: 'none' }
  | {
      status: 'running';
      id: string;
      document: DocumentInfo;
      progress: AnalysisProgress | null;
      began: Began | null;
      /** Finished cores so far, in order of arrival. */
      cores: CoreResult[];
      mechanisms: MechanismResult[];
    }
  | {
      status: 'ready';
      id: string;
      document: DocumentInfo;
      summary: AnalysisSummary;
      /** The text has changed since: show faded, with a button to analyze again. */
      stale: boolean;
      /** The latest plan for this text, changes by hand included; null while there is none. */
      plan: Plan | null;
      /** What goes on with the plan, or how it failed. */
      planning: Planning | null;
      interventions: Interventions;
      /** null before it was asked for. */
      ablation: Ablating | null;
    }
  | {
      status: 'error';
      document: DocumentInfo | null;
      /** One sentence for the user. */
      message: string;
      /** The commands that help, as buttons. */
      actions: HostCommand[];
    };

/** What has become of the profile of a folder that was asked for last. */
export type CorpusState =
  | { status: 'none' }
  | { status: 'running'; folder: string; done: number; of: number }
  /** `root`: the uri that the files of the profile are relative to. The profile itself is asked for: it is large. */
  | { status: 'ready'; id: number; folder: string; root: string }
  | { status: 'error'; folder: string; message: string };

/** Another finished analysis, which the shown one can be held against. */
export interface OtherAnalysis {
  id: string;
  /** File name to show. */
  name: string;
  model: string;
  tokens: number;
  /** Of the shown document, before it was analyzed anew: another model, or the text before an edit. */
  earlier: boolean;
}

/** Set when there is no engine behind the views, only what an HTML report holds. */
export interface ReportInfo {
  /** Day it was made, as 2026-01-31, and the version that made it. */
  made: string;
  version: string;
  /** Of one text's analysis; null: it is of a corpus. */
  maps: {
    /** The finest level: cells of 2^level tokens. */
    level: number;
    /** Heaviest links kept of each query. */
    links: number;
  } | null;
}

export type MassScale = 'linear' | 'sqrt' | 'log';

export interface HostSettings {
  massScale: MassScale;
  /** Tokens whose loss changes are marked in the text editor. */
  changeMarks: boolean;
  themeKind: 'light' | 'dark' | 'high-contrast' | 'high-contrast-light';
  /** The mechanisms that an analysis computes. */
  mechanisms: Setting[];
  /** Model reference of the next analysis. */
  model: string;
  /** BCP 47 tag for number formats, as the workbench has it. */
  locale: string;
  /** The user asked for less motion. */
  reduceMotion: boolean;
}

// ---------------------------------------------------------------- views

export const VIEW_NAMES = [
  'overview',
  'head',
  'spans',
  'buckets',
  'compare',
  'pair',
  'text',
  'cost',
  'lenses',
  'corpus',
] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

/** Kept across reloads by the extension; `options` belongs to the views, plain JSON only. */
export interface ViewState {
  view: ViewName;
  options: { [view: string]: { [option: string]: string | number | boolean | null } };
}

// ---------------------------------------------------------------- host -> webview

/** Where the webview stands: decides which root element is shown. */
export type Place = 'side' | 'panel';

export type HostMessage =
  /** The whole truth; replaces everything known before. First answer to `ready`, and at each change of status. */
  | {
      type: 'state';
      place: Place;
      analysis: AnalysisState;
      selection: Selection;
      settings: HostSettings;
      /** All mechanisms that the engine knows; empty until it has started once. */
      mechanisms: MechanismInfo[];
      view: ViewState | null;
      /** Name of the text in front of the user, where it is another one than is shown and was never analyzed. */
      inFront?: string | null;
      corpus?: CorpusState;
      others?: OtherAnalysis[];
      /** Only in a report. */
      report?: ReportInfo;
    }
  | { type: 'progress'; progress: AnalysisProgress }
  | { type: 'began'; id: string; began: Began }
  | { type: 'core'; id: string; result: CoreResult }
  /** A mechanism finished during the run, or was asked for later: same setting and scope replace the earlier one. */
  | { type: 'mechanism'; id: string; result: MechanismResult }
  | { type: 'stale'; id: string; stale: boolean }
  /** A plan was found, changed by hand or given up. */
  | { type: 'plan'; id: string; plan: Plan | null }
  | { type: 'planning'; id: string; planning: Planning | null }
  | { type: 'interventions'; id: string; interventions: Interventions }
  | { type: 'ablation'; id: string; ablation: Ablating | null }
  | { type: 'inFront'; name: string | null }
  | { type: 'corpus'; corpus: CorpusState }
  | { type: 'others'; others: OtherAnalysis[] }
  /** A measurement of costs goes on. */
  | { type: 'cost'; progress: CostProgress }
  /** Work on an analysis goes on, finished ones included: what a view asked for, or something else that is taken first. */
  | { type: 'work'; progress: AnalysisProgress }
  | { type: 'selection'; selection: Selection }
  /** The token under the pointer in the editor or in another view; null = none. */
  | { type: 'preview'; token: number | null }
  | { type: 'settings'; settings: HostSettings }
  /** Show this view (a command or link asked for it). */
  | { type: 'show'; view: ViewName; /** The keyboard goes there, too. */ focus?: boolean }
  | Response;

export type Response =
  | { type: 'response'; id: number; ok: true; result: unknown }
  | {
      type: 'response';
      id: number;
      ok: false;
      error: { /** ErrorCode of shared/protocol/engine, or null. */ code: number | null; message: string };
    };

// ---------------------------------------------------------------- webview -> host

export const HOST_COMMANDS = [
  'analyze',
  'analyzeInFront',
  'trySample',
  'analyzeSelection',
  'cancel',
  'clear',
  'selectModel',
  'selectHead',
  'compare',
  'restartEngine',
  'showLog',
  'openPanel',
  'openSettings',
  'openDeviceSetting',
  'manageTrust',
  'undoIntervention',
  'clearInterventions',
  'profileFolder',
  'exportCorpus',
] as const;
export type HostCommand = (typeof HOST_COMMANDS)[number];

/** Engine requests that a view may make; the extension passes them on, nothing else. */
export const ENGINE_METHODS = [
  'analysis/mechanism',
  'analysis/compare',
  'analysis/atBudget',
  'analysis/tile',
  'analysis/row',
  'analysis/valueWeights',
  'analysis/rollout',
  'analysis/attribution',
  'analysis/tokenAttribution',
  'analysis/patch',
  'analysis/patchResidual',
  'analysis/patchEdges',
  'heads/probe',
  'analysis/lossGroups',
  'analysis/token',
  'analysis/predictions',
  'analysis/spans',
  'analysis/outsideSpan',
  'analysis/buckets',
  'analysis/bucketMap',
  'analysis/intervene',
  'analysis/ablate',
  'analysis/worst',
  'analysis/exportPlan',
  'cost/formulas',
  'cost/measure',
  'cost/forward',
  'analysis/lens',
] as const;
export type ViewEngineMethod = (typeof ENGINE_METHODS)[number];

export interface SaveFileParams {
  /** File name with extension. */
  name: string;
  kind: 'svg' | 'png' | 'pdf' | 'csv' | 'json' | 'py' | 'tsv';
  /** Bytes for png and pdf, text for all others. */
  data: string | Uint8Array;
}

/** Every request of a view: parameters and reply. */
export type ViewRequests = {
  [M in ViewEngineMethod]: { params: EngineParams<M>; result: EngineResult<M> };
} & {
  /** Save dialog; replies with the chosen path, or null when the user thought better of it. */
  'host/saveFile': { params: SaveFileParams; result: string | null };
  /** The text as it was analysed, which the token offsets are of. */
  'host/text': { params: { id: string }; result: string };
  /** Another analysis than the shown one: one of the `others`. */
  'host/analysis': { params: { id: string }; result: AnalysisSummary };
  /** The profile of a folder, as long as it is the latest. */
  'host/corpus': { params: { id: number }; result: CorpusProfile };
  /** What was measured on this machine earlier for heads of this shape, or null. */
  'host/costs': { params: { device: DeviceName; shape: HeadShape }; result: CostMeasurement | null };
};
export type ViewMethod = keyof ViewRequests;
export type ViewParams<M extends ViewMethod> = ViewRequests[M]['params'];
export type ViewResult<M extends ViewMethod> = ViewRequests[M]['result'];

export type ViewMessage =
  | { type: 'ready' }
  | { [M in ViewMethod]: { type: 'request'; id: number; method: M; params: ViewParams<M> } }[ViewMethod]
  /** The reply is no longer wanted (scrolled away). It will come as an error with ErrorCode.cancelled. */
  | { type: 'cancelRequest'; id: number }
  /** Changes the named fields of the selection; pinning a token is `{ token }`, unpinning `{ token: null }`. */
  | { type: 'select'; selection: Partial<Selection> }
  | { type: 'preview'; token: number | null }
  /** Show these tokens in the text editor; the first is scrolled to. */
  | { type: 'reveal'; tokens: number[] }
  /** Show a range (UTF-16 offsets) of another file of the workspace. */
  | { type: 'openFile'; uri: string; start: number; end: number }
  | { type: 'run'; command: HostCommand }
  /** Open the wide panel at this view. */
  | { type: 'openView'; view: ViewName }
  | { type: 'setMassScale'; massScale: MassScale }
  /** Search a plan for the shown analysis; comes back as `planning` and `plan` messages. */
  | { type: 'findPlan'; budget: number; unit?: BudgetUnit; mechanisms: string[] }
  | { type: 'cancelPlan' }
  /** Give one head of the plan another mechanism by hand, and measure the plan anew. */
  | { type: 'changePlan'; change: HeadAssignment }
  /** Save the plan in a format that other programs read; the extension asks where. */
  | { type: 'exportPlan'; format: PlanFormat }
  /** Take this away, or give it back when it is taken away already; comes back as an `interventions` message. */
  | { type: 'intervene'; toggle: Intervention }
  /** Measure what losing each head costs; comes back as `ablation` messages, head by head. */
  | { type: 'ablate' }
  | { type: 'cancelAblation' }
  /** Put it on the clipboard. */
  | { type: 'copy'; text: string }
  | { type: 'setChangeMarks'; changeMarks: boolean }
  | { type: 'viewState'; view: ViewState }
  /** For the extension's log: an error caught in the webview. */
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string };

// ---------------------------------------------------------------- the change that is shown on a text

/** Which change editor and views show: the one asked for, as long as it is there; else what was taken away. */
export function changeOf(
  { interventions, plan }: Pick<Extract<AnalysisState, { status: 'ready' }>, 'interventions' | 'plan'>,
  { change }: Pick<Selection, 'change'>,
): ChangeSource | null {
  if (change?.kind === 'plan' && !plan) change = null;
  if (change?.kind === 'interventions' && interventions.list.length === 0) change = null;
  return change ?? (interventions.list.length > 0 ? { kind: 'interventions' } : null);
}

/** Its effect, where it is known. `propagated`: the propagated result of a mechanism, or undefined. */
export function effectOfChange(
  { interventions, plan }: Pick<Extract<AnalysisState, { status: 'ready' }>, 'interventions' | 'plan'>,
  change: ChangeSource,
  propagated: MechanismResult | undefined,
): RunEffect | null {
  if (change.kind === 'interventions') return interventions.result?.effect ?? null;
  if (change.kind === 'plan') return plan?.effect ?? null;
  if (propagated?.deltaLossPerToken) {
    return { measure: 'loss', delta: propagated.deltaLoss ?? 0, perToken: propagated.deltaLossPerToken };
  }
  if (propagated?.deltaOutputPerToken) {
    return {
      measure: 'output',
      delta: propagated.deltaOutput ?? 0,
      perToken: propagated.deltaOutputPerToken,
      ...(propagated.embedding && { embedding: propagated.embedding }),
    };
  }
  return null;
}

/** Changes by token [tokens], 0 where there is none: entry i of a loss is about token i + 1, which is predicted. */
export function changePerToken({ measure, perToken }: RunEffect, tokens: number): Float32Array {
  const values = new Float32Array(tokens);
  values.set(perToken.subarray(0, measure === 'loss' ? tokens - 1 : tokens), measure === 'loss' ? 1 : 0);
  return values;
}

/**
 * The change at the end of the colour scale: 1, 2 or 5 times a power of ten over 99 % of the tokens, and over a fifth of
 * the largest, so that the few tokens that pay most are told from the noise.
 */
export function changeLimit(perToken: ArrayLike<number>): number {
  const sizes = Float32Array.from(perToken, Math.abs).sort();
  const most = sizes[sizes.length - 1] ?? 0;
  const high = Math.max(1e-3, sizes[Math.floor(0.99 * (sizes.length - 1))] ?? 0, most / 5);
  const power = 10 ** Math.floor(Math.log10(high));
  return [1, 2, 5, 10].find(step => step * power >= high * 0.999)! * power;
}
