import type { Uri } from 'vscode';
import type { AnalysisState, Selection } from '../shared/protocol/host';

/** What `activate` returns: read-only, for tests and other extensions. A change that breaks it changes `version`. */
export interface AttentionInspectorApi {
  readonly version: 1;
  /** State of a document's analysis; without a uri, of the one that the views show. */
  getState(uri?: Uri): AnalysisState;
  getSelection(): Selection;
  /** Resolves when no analysis runs and none waits for its pause. */
  whenIdle(): Promise<void>;
  /** Process id of the engine, or undefined when it does not run. */
  engineProcessId(): number | undefined;
}
