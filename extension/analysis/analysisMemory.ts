import * as vscode from 'vscode';
import { UnreadableError, type SavedAnalysis } from '../../shared/saved/analysis';
import { Owner } from '../disposable';
import { Kept, shortText } from '../kept';
import type { Log } from '../engine/engineClient';
import type { SelectionModel } from '../views/selectionModel';
import type { Analysis } from './analysis';
import type { AnalysisStore } from './analysisStore';
import { savedOf } from './saving';
import type { SavedFiles } from './savedFiles';

/** Milliseconds after the last change at which it is written. */
const PAUSE = 400;

/**
 * Keeps finished analyses, with plan, interventions and selection, for the time when their texts are opened again: after a
 * reload of the window everything is there at once, and the engine reads a text again when it is first asked about it.
 */
export class AnalysisMemory extends Owner {
  private readonly lastShown: Kept<string>;
  /** Waiting to be written, with what is to be: its text may be closed meanwhile. */
  private readonly pending = new Map<string, { pause: NodeJS.Timeout; saved: SavedAnalysis }>();
  /** What of each was written last, or waits: the progress of a search changes nothing that is kept. */
  private readonly known = new Map<string, unknown[]>();
  private readonly writing = new Set<Promise<void>>();
  private readonly restoring = new Set<string>();
  /** What is known of files that are being renamed, by their new names. */
  private readonly moving = new Map<string, SavedAnalysis>();

  constructor(
    private readonly files: SavedFiles,
    memory: vscode.Memento,
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
    private readonly log: Log,
  ) {
    super();
    this.lastShown = new Kept(memory, 'analysis.lastShown', shortText);
    this.register(
      store.afterEvent(event => {
        if ('changed' in event) void this.lastShown.keep(event.changed?.uri ?? null);
        this.keep(store.shown);
      }),
    );
    this.register(selection.onChange(() => this.keep(store.shown)));
    this.register(store.onForget(uri => this.forget(uri)));
    this.register(vscode.workspace.onDidOpenTextDocument(document => void this.restore(document)));
    this.register(vscode.workspace.onDidGrantWorkspaceTrust(() => void this.restoreAll()));
    this.register(vscode.workspace.onWillRenameFiles(({ files }) => this.takeAlong(files)));
    this.register(vscode.workspace.onDidRenameFiles(({ files }) => void this.moved(files)));
    void this.restoreAll();
  }

  /** Writes at once what waits; VS Code gives an extension a few seconds at its end. */
  async flush(): Promise<void> {
    for (const uri of [...this.pending.keys()]) this.write(uri);
    await Promise.allSettled(this.writing);
  }

  override dispose(): void {
    for (const { pause } of this.pending.values()) clearTimeout(pause);
    super.dispose();
  }

  private keep(analysis: Analysis | null): void {
    const saved = analysis && this.savedNow(analysis);
    if (!saved) return;
    const { uri } = analysis;
    const parts = partsOf(saved);
    if (parts.every((part, at) => part === this.known.get(uri)?.[at])) return;
    this.known.set(uri, parts);
    clearTimeout(this.pending.get(uri)?.pause);
    this.pending.set(uri, { pause: setTimeout(() => this.write(uri), PAUSE), saved });
  }

  private write(uri: string): void {
    const waiting = this.pending.get(uri);
    if (!waiting) return;
    clearTimeout(waiting.pause);
    this.pending.delete(uri);
    const analysis = this.store.byUri(vscode.Uri.parse(uri, true));
    const saved = analysis ? this.savedNow(analysis) : waiting.saved;
    // An edited text is kept as soon as it is as it was, or analyzed again.
    if (!saved) {
      this.known.delete(uri);
      return;
    }
    const write = this.files
      .write(saved)
      .catch((error: unknown) => {
        this.known.delete(uri);
        this.log.warn(`The analysis of ${uri} was not kept: ${String(error)}`);
      })
      .finally(() => this.writing.delete(write));
    this.writing.add(write);
  }

  /** A renamed file (or one in a renamed folder) is another document to VS Code; its text and results are the same. */
  private takeAlong(files: readonly { oldUri: vscode.Uri; newUri: vscode.Uri }[]): void {
    for (const analysis of this.store.all)
      for (const { oldUri, newUri } of files) {
        const [from, uri] = [oldUri.toString(), analysis.uri];
        if (uri !== from && !uri.startsWith(`${from}/`)) continue;
        const saved = this.savedNow(analysis);
        if (saved) this.moving.set(newUri.toString() + uri.slice(from.length), saved);
      }
  }

  private async moved(files: readonly { oldUri: vscode.Uri }[]): Promise<void> {
    for (const document of vscode.workspace.textDocuments)
      if (this.moving.has(document.uri.toString())) await this.restore(document);
    for (const { oldUri } of files) this.forget(oldUri.toString());
  }

  /** An untitled text that is saved becomes another document, too: that with its text. */
  private fromUntitled(document: vscode.TextDocument): SavedAnalysis | null {
    if (document.isUntitled) return null;
    for (const analysis of this.store.all)
      if (analysis.document.isUntitled && analysis.source.text === document.getText())
        return this.savedNow(analysis);
    return null;
  }

  private savedNow(analysis: Analysis): SavedAnalysis | null {
    if (analysis.ready?.stale) return null;
    return savedOf(analysis, analysis === this.store.shown ? this.selection : null);
  }

  private forget(uri: string): void {
    clearTimeout(this.pending.get(uri)?.pause);
    this.pending.delete(uri);
    this.known.delete(uri);
    void this.flush().then(() => this.files.delete(uri));
  }

  /** The one that was shown last comes first: it is shown again, unless another text is in front. */
  private async restoreAll(): Promise<void> {
    const last = this.lastShown.value;
    const isLast = (document: vscode.TextDocument) => Number(document.uri.toString() === last);
    const documents = [...vscode.workspace.textDocuments].sort((a, b) => isLast(b) - isLast(a));
    for (const document of documents) await this.restore(document);
  }

  /** Nothing is shown of models before the workspace is trusted. */
  private async restore(document: vscode.TextDocument): Promise<void> {
    const uri = document.uri.toString();
    if (!vscode.workspace.isTrusted || this.store.of(document) || this.restoring.has(uri)) return;
    this.restoring.add(uri);
    try {
      const waiting = this.pending.get(uri)?.saved;
      const known = this.moving.get(uri) ?? waiting ?? this.fromUntitled(document);
      this.moving.delete(uri);
      // A text may be opened again before what was kept of it is written.
      await Promise.allSettled(this.writing);
      const saved = known ?? (await this.files.read(uri));
      if (saved && !document.isClosed) this.store.restore(document, saved);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      this.log.warn(`The kept analysis of ${uri} is not used: ${error.message}`);
      await this.files.delete(uri);
    } finally {
      this.restoring.delete(uri);
    }
  }
}

/** What may change in what is kept of an analysis; each is replaced, not written to, as it changes. */
function partsOf({ document, summary, plan, searching, ...rest }: SavedAnalysis): unknown[] {
  const { interventions, ablation, selection, given, targetUri } = rest;
  const changed = [interventions.list, interventions.result, ablation?.heads, selection, given];
  return [document, summary, plan, searching, targetUri, ...changed];
}
