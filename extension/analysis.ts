import * as vscode from 'vscode';
import type { AnalysisSummary, CoreResult, EngineNotifications, MechanismResult } from '../engine/protocol';
import type { AnalysisState, Began, DocumentInfo } from '../webview/hostProtocol';
import { EditedText } from './editedText';
import { sameChoice } from './mechanismSetting';
import { tokensIn } from './tokenLocator';

export type ReadyState = Extract<AnalysisState, { status: 'ready' }>;
export type RunningState = Extract<AnalysisState, { status: 'running' }>;

/** Texts up to this length are kept to see that an undo has brought the analysed text back. */
const KEPT_TEXT = 1 << 20;

/**
 * One run of the engine over one text of one document: its state, and where its tokens are in the document now.
 * A new run is a new object with a new id, so that nothing of an earlier run is ever taken for it.
 */
export class Analysis {
  readonly cancellation = new vscode.CancellationTokenSource();
  private readonly edited: EditedText;
  private readonly keptText: string | null;
  private now: AnalysisState;

  constructor(
    readonly id: string,
    readonly document: vscode.TextDocument,
    /** The analysed part, as UTF-16 offsets of the document at the start. */
    readonly start: number,
    readonly end: number,
    text: string,
    readonly isSelection: boolean,
  ) {
    this.edited = new EditedText(documentLength(document));
    this.keptText = text.length <= KEPT_TEXT ? text : null;
    this.now = {
      status: 'running',
      id,
      document: this.documentInfo,
      progress: null,
      began: null,
      cores: [],
      mechanisms: [],
    };
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
    if (this.now.status === 'running') return this.now.began;
    return this.now.status === 'ready' ? this.now.summary : null;
  }

  get mechanisms(): readonly MechanismResult[] {
    if (this.now.status === 'running') return this.now.mechanisms;
    return this.now.status === 'ready' ? this.now.summary.mechanisms : [];
  }

  get documentInfo(): DocumentInfo {
    return {
      uri: this.uri,
      name: vscode.workspace.asRelativePath(this.document.uri),
      length: this.end - this.start,
      selectionStart: this.isSelection ? this.start : null,
    };
  }

  // -------------------------------------------------------------- what the engine says

  progress(progress: EngineNotifications['analysis/progress']): void {
    if (this.running) this.running.progress = progress;
  }

  begin(began: Began): void {
    if (this.running) this.running.began = began;
  }

  addCore(result: CoreResult): void {
    this.running?.cores.push(result);
  }

  /** A later result of the same mechanism, parameters and scope replaces the earlier one. */
  addMechanism(result: MechanismResult): void {
    const list =
      this.now.status === 'running'
        ? this.now.mechanisms
        : this.now.status === 'ready'
          ? this.now.summary.mechanisms
          : [];
    const at = list.findIndex(other => other.scope === result.scope && sameChoice(other, result));
    if (at < 0) list.push(result);
    else list[at] = result;
  }

  finish(summary: AnalysisSummary): void {
    this.now = {
      status: 'ready',
      id: this.id,
      document: this.documentInfo,
      summary,
      stale: this.edited.changed,
    };
  }

  fail(message: string, actions: Extract<AnalysisState, { status: 'error' }>['actions']): void {
    this.now = { status: 'error', document: this.documentInfo, message, actions };
  }

  // -------------------------------------------------------------- the document it belongs to

  get textChanged(): boolean {
    return this.edited.changed;
  }

  /** Notes an edit of the document; true when the answer to "is it stale?" has changed. */
  edit(event: vscode.TextDocumentChangeEvent): boolean {
    const before = this.edited.changed;
    this.edited.edit(event.contentChanges);
    if (this.edited.changed && this.isBack()) this.edited.restore();
    if (this.ready) this.ready.stale = this.edited.changed;
    return before !== this.edited.changed;
  }

  /** Undo has brought back the text that was analysed. */
  private isBack(): boolean {
    if (this.keptText === null || this.isSelection || this.edited.currentLength !== this.end) return false;
    return this.document.getText() === this.keptText;
  }

  /** The analysed part as it is now, or null when the edits do not tell. */
  currentRange(): vscode.Range | null {
    if (!this.isSelection) return wholeRange(this.document);
    const start = this.edited.toDocument(this.start, this.start);
    const end = this.edited.toDocument(this.end, this.end);
    return start && end ? this.rangeOf(start.start, end.end) : null;
  }

  /** Tokens of a range of the document, ascending; none where the text was edited. */
  tokensAt(start: number, end: number): number[] {
    const from = this.edited.toAnalysed(start);
    const to = end > start ? this.edited.toAnalysed(end - 1) : from;
    if (!this.began || from === null || to === null) return [];
    const last = end > start ? to + 1 : to;
    if (from < this.start || from >= this.end) return [];
    return tokensIn(this.began.tokens, from - this.start, last - this.start);
  }

  /** Where a token is in the document now; null for special tokens and where the text was edited. */
  rangeOfToken(token: number): vscode.Range | null {
    const tokens = this.began?.tokens;
    const start = tokens?.start[token];
    const end = tokens?.end[token];
    if (start === undefined || end === undefined || end <= start) return null;
    const range = this.edited.toDocument(this.start + start, this.start + end);
    return range && this.rangeOf(range.start, range.end);
  }

  private rangeOf(start: number, end: number): vscode.Range {
    return new vscode.Range(this.document.positionAt(start), this.document.positionAt(end));
  }
}

export function documentLength(document: vscode.TextDocument): number {
  return document.offsetAt(document.lineAt(document.lineCount - 1).range.end);
}

export function wholeRange(document: vscode.TextDocument): vscode.Range {
  return new vscode.Range(new vscode.Position(0, 0), document.lineAt(document.lineCount - 1).range.end);
}
