/** Everything that a host has told a view, and how it follows from the messages. Pure, like the analysis in it. */
import type { AnalysisProgress, CostProgress, MechanismInfo } from '../protocol/engine';
import {
  NO_SELECTION,
  type AnalysisState,
  type CorpusState,
  type HostMessage,
  type HostSettings,
  type OtherAnalysis,
  type Place,
  type ReportInfo,
  type Response,
  type Selection,
  type ViewState,
} from '../protocol/host';
import { updated } from './analysisState';

export interface HostState {
  /** False until the host has told the whole state once. */
  connected: boolean;
  place: Place;
  analysis: AnalysisState;
  selection: Selection;
  settings: HostSettings;
  /** All mechanisms that the engine knows. */
  mechanisms: MechanismInfo[];
  /** The view that is open, and its options. */
  view: ViewState;
  /** Name of a text in front that was never analyzed, while the views show another. */
  inFront: string | null;
  /** The token under the pointer, in the editor or in a view. */
  previewToken: number | null;
  corpus: CorpusState;
  /** Finished analyses that the shown one can be held against. */
  others: OtherAnalysis[];
  /** A measurement of costs that goes on. */
  cost: CostProgress | null;
  /** What the engine last said of its work on an analysis. */
  work: AnalysisProgress | null;
  /** In an HTML report: what it holds. */
  report: ReportInfo | null;
}

export const INITIAL_SETTINGS: HostSettings = {
  massScale: 'sqrt',
  changeMarks: true,
  themeKind: 'dark',
  mechanisms: [],
  model: '',
  locale: 'en',
  reduceMotion: false,
};

export const INITIAL_STATE: HostState = {
  connected: false,
  place: 'panel',
  analysis: { status: 'none' },
  selection: NO_SELECTION,
  settings: INITIAL_SETTINGS,
  mechanisms: [],
  view: { view: 'overview', options: {} },
  inFront: null,
  previewToken: null,
  corpus: { status: 'none' },
  others: [],
  cost: null,
  work: null,
  report: null,
};

/** What a host says of its state; the rest are answers to requests. */
export type StateMessage = Exclude<HostMessage, Response>;

export function told(state: HostState, message: StateMessage): HostState {
  switch (message.type) {
    case 'state': {
      const {
        place,
        analysis,
        selection,
        settings,
        mechanisms,
        view,
        report = null,
        inFront = null,
        corpus = state.corpus,
        others = state.others,
      } = message;
      return {
        ...state,
        connected: true,
        place,
        analysis,
        selection,
        settings,
        mechanisms,
        view: view ?? state.view,
        report,
        inFront,
        corpus,
        others,
      };
    }
    case 'corpus':
      return { ...state, corpus: message.corpus };
    case 'others':
      return { ...state, others: message.others };
    case 'cost':
      return { ...state, cost: message.progress };
    case 'work':
      return { ...state, work: message.progress };
    case 'selection':
      return { ...state, selection: message.selection };
    case 'inFront':
      return { ...state, inFront: message.name };
    case 'preview':
      return { ...state, previewToken: message.token };
    case 'settings':
      return { ...state, settings: message.settings };
    case 'show':
      return { ...state, view: { ...state.view, view: message.view } };
    default: {
      const analysis = updated(state.analysis, message);
      return analysis === state.analysis ? state : { ...state, analysis };
    }
  }
}
