/**
 * Everything that the webview and the extension say to each other. Types only: no DOM, no 'vscode'.
 *
 * The extension is the one owner of the analysis and of the selection. A view sends `ready`, gets one `state`
 * with everything, then the small messages that follow. A change that a view asks for comes back to every view
 * (side panel and panel alike) as a message; a view never assumes that it was granted.
 */
import type {
  AnalysisProgress,
  AnalysisSummary,
  CoreResult,
  CostMeasurement,
  CostProgress,
  DeviceName,
  DeviceReport,
  EngineParams,
  EngineResult,
  HeadShape,
  HeadAssignment,
  MechanismChoice,
  MechanismInfo,
  MechanismResult,
  ModelInfo,
  Plan,
  TokenTable,
} from '../engine/protocol';

// ---------------------------------------------------------------- selection

/** What is looked at, everywhere: editor, side panel and every view follow it. */
export interface Selection {
  /** null = mean over all heads of all cores. */
  core: number | null;
  /** null = mean over the heads of `core`. */
  head: number | null;
  /** The pinned token, or null. */
  token: number | null;
  /** The mechanism whose kept and lost pairs are shown, or null for dense only. */
  mechanism: MechanismChoice | null;
}

export const NO_SELECTION: Selection = { core: null, head: null, token: null, mechanism: null };

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
}

/** A plan that is being made or changed; `error` = it was not, and why. */
export interface Planning {
  budget: number;
  /** 0..1 */
  fraction: number;
  message: string;
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
      /** The text has changed since: show greyed, with a button to analyze again. */
      stale: boolean;
      /** The latest plan for this text, changes by hand included; null while there is none. */
      plan: Plan | null;
      /** What goes on with the plan, or how it failed. */
      planning: Planning | null;
    }
  | {
      status: 'error';
      document: DocumentInfo | null;
      /** One sentence for the user. */
      message: string;
      /** The commands that help, as buttons. */
      actions: HostCommand[];
    };

/** Set when there is no engine behind the views, only what an HTML report holds. */
export interface ReportInfo {
  /** Day it was made, as 2026-01-31, and the version that made it. */
  made: string;
  version: string;
  /** The finest level of its maps: cells of 2^level tokens. */
  level: number;
  /** Heaviest links kept of each query. */
  links: number;
}

export type MassScale = 'linear' | 'sqrt' | 'log';

export interface HostSettings {
  massScale: MassScale;
  themeKind: 'light' | 'dark' | 'high-contrast' | 'high-contrast-light';
  /** The mechanisms that an analysis computes. */
  mechanisms: MechanismChoice[];
  /** Model reference of the next analysis. */
  model: string;
  /** BCP 47 tag for number formats, as the workbench has it. */
  locale: string;
  /** The user asked for less motion. */
  reduceMotion: boolean;
}

// ---------------------------------------------------------------- views

export type ViewName = 'overview' | 'head' | 'spans' | 'buckets' | 'compare' | 'text' | 'cost' | 'lenses';

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
      /** Only in a report. */
      report?: ReportInfo;
    }
  | { type: 'progress'; progress: AnalysisProgress }
  | { type: 'began'; id: string; began: Began }
  | { type: 'core'; id: string; result: CoreResult }
  /** A mechanism finished during the run, or was asked for later: same name, params and scope replace the earlier one. */
  | { type: 'mechanism'; id: string; result: MechanismResult }
  | { type: 'stale'; id: string; stale: boolean }
  /** A plan was found, changed by hand or given up. */
  | { type: 'plan'; id: string; plan: Plan | null }
  | { type: 'planning'; id: string; planning: Planning | null }
  /** A measurement of costs goes on. */
  | { type: 'cost'; progress: CostProgress }
  | { type: 'selection'; selection: Selection }
  /** The token under the pointer in the editor or in another view; null = none. */
  | { type: 'preview'; token: number | null }
  | { type: 'settings'; settings: HostSettings }
  /** Show this view (a command or link asked for it). */
  | { type: 'show'; view: ViewName }
  | Response;

export type Response =
  | { type: 'response'; id: number; ok: true; result: unknown }
  | {
      type: 'response';
      id: number;
      ok: false;
      error: { /** ErrorCode of engine/protocol, or null. */ code: number | null; message: string };
    };

// ---------------------------------------------------------------- webview -> host

export const HOST_COMMANDS = [
  'analyze',
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
] as const;
export type HostCommand = (typeof HOST_COMMANDS)[number];

/** Engine requests that a view may make; the extension passes them on, nothing else. */
export const ENGINE_METHODS = [
  'analysis/mechanism',
  'analysis/compare',
  'analysis/tile',
  'analysis/row',
  'analysis/token',
  'analysis/spans',
  'analysis/outsideSpan',
  'analysis/buckets',
  'analysis/bucketMap',
  'cost/formulas',
  'cost/measure',
  'cost/forward',
] as const;
export type ViewEngineMethod = (typeof ENGINE_METHODS)[number];

export interface SaveFileParams {
  /** File name with extension. */
  name: string;
  kind: 'svg' | 'png' | 'csv';
  /** Text for svg and csv, bytes for png. */
  data: string | Uint8Array;
}

/** Every request of a view: parameters and reply. */
export type ViewRequests = {
  [M in ViewEngineMethod]: { params: EngineParams<M>; result: EngineResult<M> };
} & {
  /** Save dialog; replies with the chosen path, or null when the user thought better of it. */
  'host/saveFile': { params: SaveFileParams; result: string | null };
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
  | { type: 'run'; command: HostCommand }
  /** Open the wide panel at this view. */
  | { type: 'openView'; view: ViewName }
  | { type: 'setMassScale'; massScale: MassScale }
  /** Search a plan for the shown analysis; comes back as `planning` and `plan` messages. */
  | { type: 'findPlan'; budget: number; mechanisms: string[] }
  | { type: 'cancelPlan' }
  /** Give one head of the plan another mechanism by hand, and measure the plan anew. */
  | { type: 'changePlan'; change: HeadAssignment }
  | { type: 'viewState'; view: ViewState }
  /** For the extension's log: an error caught in the webview. */
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string };
