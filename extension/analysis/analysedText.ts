import * as vscode from 'vscode';
import type { TokenTable } from '../../shared/protocol/engine';
import { EditedText } from './editedText';
import { tokensIn } from './tokenLocator';

/** Texts up to this length are kept to see that an undo has brought the analysed text back. */
const KEPT_TEXT = 1 << 20;

/** A document's text, or a part of it, as an analysis has read it, and where it is in the document now. */
export class AnalysedText {
  private readonly edited: EditedText;
  private readonly keptText: string | null;

  constructor(
    readonly document: vscode.TextDocument,
    /** The analysed part, as UTF-16 offsets of the document at the start. */
    readonly start: number,
    readonly end: number,
    readonly text: string,
    readonly isSelection: boolean,
  ) {
    const length = documentLength(document);
    // A comparison needs the whole document as it was, of which a selection is a part.
    this.edited = new EditedText(length <= KEPT_TEXT ? document.getText() : length);
    this.keptText = text.length <= KEPT_TEXT ? text : null;
  }

  get changed(): boolean {
    // Edits around an analysed selection do not touch it.
    return this.isSelection ? !this.edited.toDocument(this.start, this.end) : this.edited.changed;
  }

  edit(event: vscode.TextDocumentChangeEvent): void {
    const { contentChanges } = event;
    this.edited.edit(contentChanges, (start, end) => this.document.getText(this.rangeOf(start, end)));
    if (this.changed && this.isBack()) this.edited.restore();
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
  tokensAt(tokens: TokenTable, start: number, end: number): number[] {
    const from = this.edited.toAnalysed(start);
    const to = end > start ? this.edited.toAnalysed(end - 1) : from;
    if (from === null || to === null) return [];
    const last = end > start ? to + 1 : to;
    if (from < this.start || from >= this.end) return [];
    return tokensIn(tokens, from - this.start, last - this.start);
  }

  /** Where a token is in the document now; null for special tokens and where the text was edited. */
  rangeOfToken(tokens: TokenTable, token: number): vscode.Range | null {
    const start = tokens.start[token];
    const end = tokens.end[token];
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
