/**
 * How the state of an analysis follows from what is told of it: the one definition, for the extension, the webview, the
 * HTML report and tests. Pure: a state is never changed, and one that stays as it was is the same object.
 */
import type { AnalysisProgress, AnalysisSummary, CoreResult, MechanismResult } from '../protocol/engine';
import {
  NO_INTERVENTIONS,
  type AnalysisState,
  type Began,
  type DocumentInfo,
  type HostMessage,
} from '../protocol/host';

export type RunningState = Extract<AnalysisState, { status: 'running' }>;
export type ReadyState = Extract<AnalysisState, { status: 'ready' }>;

/** The small messages that follow a whole state. */
export type AnalysisUpdate = Extract<
  HostMessage,
  {
    type:
      | 'progress'
      | 'began'
      | 'core'
      | 'mechanism'
      | 'stale'
      | 'plan'
      | 'planning'
      | 'interventions'
      | 'ablation';
  }
>;

export function runningState(id: string, document: DocumentInfo): RunningState {
  return { status: 'running', id, document, progress: null, began: null, cores: [], mechanisms: [] };
}

export function readyState(
  document: DocumentInfo,
  summary: AnalysisSummary,
  more: Partial<Pick<ReadyState, 'stale' | 'plan' | 'interventions' | 'ablation'>> = {},
): ReadyState {
  return {
    status: 'ready',
    id: summary.id,
    document,
    summary,
    stale: false,
    plan: null,
    planning: null,
    interventions: NO_INTERVENTIONS,
    ablation: null,
    ...more,
  };
}

/** The id of the analysis that an update is about. */
export const idOf = (update: AnalysisUpdate): string =>
  update.type === 'progress' ? update.progress.id : update.id;

/** An update of another analysis, or of what this one does not have at its stage, changes nothing. */
export function updated(state: AnalysisState, update: AnalysisUpdate): AnalysisState {
  switch (state.status) {
    case 'running':
      return state.id === idOf(update) ? updatedRun(state, update) : state;
    case 'ready':
      return state.id === idOf(update) ? updatedResult(state, update) : state;
    default:
      return state;
  }
}

function updatedRun(state: RunningState, update: AnalysisUpdate): RunningState {
  switch (update.type) {
    case 'progress':
      return { ...state, progress: update.progress };
    case 'began':
      return { ...state, began: update.began };
    case 'core':
      return { ...state, cores: [...state.cores, update.result] };
    case 'mechanism':
      return { ...state, mechanisms: withResult(state.mechanisms, update.result) };
    default:
      return state;
  }
}

function updatedResult(state: ReadyState, update: AnalysisUpdate): ReadyState {
  switch (update.type) {
    case 'mechanism': {
      const { summary } = state;
      return {
        ...state,
        summary: { ...summary, mechanisms: withResult(summary.mechanisms, update.result) },
      };
    }
    case 'stale':
      return state.stale === update.stale ? state : { ...state, stale: update.stale };
    case 'plan':
      return { ...state, plan: update.plan };
    case 'planning':
      return { ...state, planning: update.planning };
    case 'interventions':
      return { ...state, interventions: update.interventions };
    case 'ablation':
      return { ...state, ablation: update.ablation };
    default:
      return state;
  }
}

/** A later result of the same setting and scope takes the place of the earlier one. */
function withResult(list: MechanismResult[], result: MechanismResult): MechanismResult[] {
  const at = list.findIndex(
    other => other.scope === result.scope && other.setting.key === result.setting.key,
  );
  return at < 0 ? [...list, result] : list.with(at, result);
}

// ---------------------------------------------------------------- what is known of it at any stage

/** Model, device and tokens, known from the first moment of the run on. */
export function begun(state: AnalysisState): Began | null {
  if (state.status === 'running') return state.began;
  return state.status === 'ready' ? state.summary : null;
}

/** How far a run is, 0..1; null while that is not known: before it has begun, and while its model loads, which has no share of it. */
export function fractionOf(progress: AnalysisProgress | null): number | null {
  return progress && progress.phase !== 'model' ? progress.fraction : null;
}

/** Finished cores, in order of arrival. */
export function coresOf(state: AnalysisState): CoreResult[] {
  if (state.status === 'running') return state.cores;
  return state.status === 'ready' ? state.summary.cores : [];
}

export function resultsOf(state: AnalysisState): MechanismResult[] {
  if (state.status === 'running') return state.mechanisms;
  return state.status === 'ready' ? state.summary.mechanisms : [];
}

/** What its reader must know of the text and its numbers: not why a device is not used, which is said with the device. */
export function notesOnText({ notes, device }: Pick<AnalysisSummary, 'notes' | 'device'>): string[] {
  return notes.filter(note => !device.notes.includes(note));
}
