import type { EngineMethod, EngineNotifications, EngineParams, EngineResult } from '../protocol/engine';
import { ErrorCode } from '../protocol/engine';
import type { AnalysisState } from '../protocol/host';
import type { AnalysisUpdate } from './analysisState';

/** Puts values into a sentence for the user, in their language where there is a translation. */
export type Translate = (sentence: string, ...values: (string | number)[]) => string;

/** Where analyses live: what a search for a plan and a run of interventions need of their host. */
export interface AnalysisHost {
  /** The analysis that the views show. */
  readonly state: AnalysisState;
  stateOf(id: string): AnalysisState | undefined;
  /** Takes an update in and tells the views of it. */
  tell(update: AnalysisUpdate): void;
  ask<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal,
  ): Promise<EngineResult<M>>;
  readonly t: Translate;
}

/** What the engine says unasked about an analysis, as the views are told of it; null for all else. */
export function updateFrom<N extends keyof EngineNotifications>(
  name: N,
  params: EngineNotifications[N],
): AnalysisUpdate | null {
  const said = { name, params } as {
    [K in keyof EngineNotifications]: { name: K; params: EngineNotifications[K] };
  }[keyof EngineNotifications];
  switch (said.name) {
    case 'analysis/progress':
      return { type: 'progress', progress: said.params };
    case 'analysis/began': {
      const { id, ...began } = said.params;
      return { type: 'began', id, began };
    }
    case 'analysis/core':
      return { type: 'core', ...said.params };
    case 'analysis/mechanismDone':
      return { type: 'mechanism', ...said.params };
    default:
      return null;
  }
}

/** The `ErrorCode` of what a request failed with, or null. */
export function codeOf(error: unknown): number | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? code : null;
}

export const isCancelled = (error: unknown) => codeOf(error) === ErrorCode.cancelled;

export const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
