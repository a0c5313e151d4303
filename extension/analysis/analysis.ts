import * as vscode from 'vscode';
import type {
  AnalysisSummary,
  CoreResult,
  MechanismResult,
  Side,
  TokenTable,
} from '../../shared/protocol/engine';
import type { AnalysisState, Began, DocumentInfo } from '../../shared/protocol/host';
import {
  begun,
  coresOf,
  readyState,
  resultsOf,
  runningState,
  updated,
  type AnalysisUpdate,
  type ReadyState,
  type RunningState,
} from '../../shared/host/analysisState';
import { NO_INTERVENTIONS } from '../../shared/protocol/host';
import type { SavedAnalysis } from '../../shared/saved/analysis';
import type { Looked } from '../views/selectionModel';
import { AnalysedText } from './analysedText';
import { documentName } from './documentName';

/**
 * One run of the engine over one text of one document: its state, and where its tokens are in the document now.
 * A new run is a new object with a new id, so that nothing of an earlier run is ever taken for it.
 */
export class Analysis {
  readonly cancellation = new vscode.CancellationTokenSource();
  /** The selection when another text came in front, or when it was kept. */
  looked: Looked | null = null;
  private now: AnalysisState;

  constructor(
    readonly id: string,
    readonly source: AnalysedText,
    private givenTarget: AnalysedText | null,
    private before: Analysis | null = null,
  ) {
    this.now = runningState(id, this.documentInfo);
  }

  /** The document given as the target text of an encoder-decoder; null where the model has not read it. */
  get target(): AnalysedText | null {
    return this.givenTarget;
  }

  /** While it runs: what was there before it, and comes back where the run is cut off. */
  get replaces(): Analysis | null {
    return this.before;
  }

  get document(): vscode.TextDocument {
    return this.source.document;
  }

  get uri(): string {
    return this.document.uri.toString();
  }

  get state(): AnalysisState {
    return this.now;
  }

  get running(): RunningState | null {
    return this.now.status === 'running' ? this.now : null;
  }

  get ready(): ReadyState | null {
    return this.now.status === 'ready' ? this.now : null;
  }

  /** Model, device and tokens, known from the first moment of the run on. */
  get began(): Began | null {
    return begun(this.now);
  }

  get cores(): readonly CoreResult[] {
    return coresOf(this.now);
  }

  get mechanisms(): readonly MechanismResult[] {
    return resultsOf(this.now);
  }

  get documentInfo(): DocumentInfo {
    return {
      uri: this.uri,
      name: documentName(this.document.uri),
      length: this.source.end - this.source.start,
      selectionStart: this.isSelection ? this.source.start : null,
    };
  }

  // -------------------------------------------------------------- what comes of it

  /** Takes in what is told of it; false when that changes nothing. */
  update(update: AnalysisUpdate): boolean {
    const before = this.now;
    this.now = updated(before, update);
    return this.now !== before;
  }

  /** @param previous of the same document: its plan is one of this analysis, too, when model and tokens are the same */
  finish(summary: AnalysisSummary, previous: ReadyState | null = null): void {
    if (summary.target?.source !== 'given') this.givenTarget = null;
    const same = previous && isSameText(previous.summary, summary) ? previous : null;
    const kept = { plan: same?.plan ?? null, ablation: same?.ablation ?? null };
    this.now = readyState(this.documentInfo, summary, { stale: this.textChanged, ...kept });
    this.before = null;
  }

  /** Takes the place of its run: what an earlier session has kept of it. */
  restore({ summary, plan, searching, interventions, ablation, selection, given }: SavedAnalysis): void {
    const message = vscode.l10n.t('The search ended with the window. Find the plan again.');
    this.looked = { selection, given };
    this.now = {
      ...readyState(
        this.documentInfo,
        { ...summary, id: this.id },
        {
          plan,
          interventions: { ...NO_INTERVENTIONS, ...interventions },
          ablation: ablation ? { ...ablation, running: null, error: null } : null,
        },
      ),
      planning: searching === null ? null : { budget: searching, fraction: 0, message: '', error: message },
    };
  }

  fail(message: string, actions: Extract<AnalysisState, { status: 'error' }>['actions']): void {
    this.now = { status: 'error', document: this.documentInfo, message, actions };
    this.before = null;
  }

  // -------------------------------------------------------------- the documents it belongs to

  get isSelection(): boolean {
    return this.source.isSelection;
  }

  get textChanged(): boolean {
    return this.source.changed || !!this.target?.changed;
  }

  /** Notes an edit of one of its documents; true when the answer to "is it stale?" has changed. */
  edit(event: vscode.TextDocumentChangeEvent): boolean {
    const before = this.textChanged;
    for (const text of [this.source, this.target]) if (text?.document === event.document) text.edit(event);
    return before !== this.textChanged;
  }

  /** The analysed part as it is now, or null when the edits do not tell. */
  currentRange(): vscode.Range | null {
    return this.source.currentRange();
  }

  /** Tokens of a range of the document of a side, ascending; none where the text was edited. */
  tokensAt(start: number, end: number, side: Side = 'text'): number[] {
    const { text, tokens } = this.sideOf(side);
    return text && tokens ? text.tokensAt(tokens, start, end) : [];
  }

  /** Where a token of a side is in its document now; null for special tokens and where the text was edited. */
  rangeOfToken(token: number, side: Side = 'text'): vscode.Range | null {
    const { text, tokens } = this.sideOf(side);
    return text && tokens ? text.rangeOfToken(tokens, token) : null;
  }

  private sideOf(side: Side): { text: AnalysedText | null; tokens: TokenTable | null } {
    if (side === 'target') return { text: this.target, tokens: this.targetTokens };
    return { text: this.source, tokens: this.began?.tokens ?? null };
  }

  /** Tokens of the document that is its target text, once the model is known to read it. */
  get targetTokens(): TokenTable | null {
    const read = this.began?.target;
    return this.target && read?.source === 'given' ? read.tokens : null;
  }
}

/** The same model has read the same tokens. */
export function isSameText(a: AnalysisSummary, b: AnalysisSummary): boolean {
  const ids = ({ tokens, target }: AnalysisSummary) => [...tokens.ids, -1, ...(target?.tokens.ids ?? [])];
  const [one, other] = [ids(a), ids(b)];
  return a.model.ref === b.model.ref && one.length === other.length && one.every((id, t) => id === other[t]);
}
