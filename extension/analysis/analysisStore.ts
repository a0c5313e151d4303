import * as vscode from 'vscode';
import {
  ErrorCode,
  type EngineMethod,
  type AnalysisSummary,
  type ChosenAttention,
  type EngineParams,
  type EngineResult,
  type MechanismInfo,
} from '../../shared/protocol/engine';
import type { AnalysisState, HostCommand, OtherAnalysis } from '../../shared/protocol/host';
import { updateFrom, type AnalysisHost } from '../../shared/host/host';
import { idOf, type AnalysisUpdate } from '../../shared/host/analysisState';
import { AnalysedText, documentLength, wholeRange } from './analysedText';
import { distinct } from '../../shared/setting';
import type { SavedAnalysis } from '../../shared/saved/analysis';
import { Analysis, isSameText } from './analysis';
import { EarlierAnalyses, otherAnalysis } from './earlierAnalyses';
import { Owner } from '../disposable';
import { tokenOf } from '../engine/abort';
import {
  asEngineError,
  EngineDiedError,
  EngineError,
  type EngineClient,
  type Token,
} from '../engine/engineClient';
import type { Settings } from '../workbench/settings';
import { tellProgress } from '../workbench/tell';
import type { TargetTexts } from './targetTexts';

/**
 * The engine gets at most this much of a document. No model reads as much; a bound keeps a 50 MB file from
 * stopping the editor.
 */
const MAXIMUM_TEXT = 4 << 20;

/** What is told of the shown analysis: it is another one or in another status, or more has come of it. */
type StoreEvent = { changed: Analysis | null } | { update: AnalysisUpdate };

interface Run {
  part: vscode.Range | undefined;
  quiet: boolean;
  model: string;
  /** Its failure takes nothing away. */
  trial: boolean;
}

/** Owns the analyses, one for each document at most, and says which one the views show. */
export class AnalysisStore extends Owner implements AnalysisHost {
  /** By document. */
  private readonly analyses = new Map<string, Analysis>();
  /** By id: those that the engine knows, the one that a run is to replace among them. */
  private readonly alive = new Map<string, Analysis>();
  private readonly earlier = new EarlierAnalyses();
  private current: Analysis | null = null;
  private runs = 0;
  private readonly active = new Set<Promise<unknown>>();
  /** Finished analyses that the engine reads again, since it has lost them. */
  private readonly reviving = new Map<Analysis, Promise<void>>();
  /** Being told, and waiting to be. */
  private readonly events: StoreEvent[] = [];
  private readonly pauses = new Map<string, NodeJS.Timeout>();

  private readonly changed = this.register(new vscode.EventEmitter<Analysis | null>());
  /** The shown analysis is another one, or its status has changed. */
  readonly onChange = this.changed.event;
  private readonly updated = this.register(new vscode.EventEmitter<AnalysisUpdate>());
  /** More has come of the shown analysis. */
  readonly onUpdate = this.updated.event;
  private readonly toldAll = this.register(new vscode.EventEmitter<StoreEvent>());
  /** Either of them, when everyone has been told: for what changes more in answer to it. */
  readonly afterEvent = this.toldAll.event;

  private readonly othersChanged = this.register(new vscode.EventEmitter<void>());
  /** There are others than the shown one, or fewer. */
  readonly onOthers = this.othersChanged.event;

  private readonly forgotten = this.register(new vscode.EventEmitter<string>());
  /** The user wants to see no more of the results of a document. */
  readonly onForget = this.forgotten.event;

  constructor(
    private readonly client: EngineClient,
    private readonly settings: Settings,
    private readonly targets: TargetTexts,
  ) {
    super();
    this.listenToEngine();
    this.register(vscode.workspace.onDidChangeTextDocument(event => this.edited(event)));
    this.register(vscode.workspace.onDidGrantWorkspaceTrust(() => this.changed.fire(this.current)));
    this.register(vscode.workspace.onDidCloseTextDocument(document => this.closed(document)));
    this.register(
      vscode.window.onDidChangeActiveTextEditor(editor => {
        const analysis = editor && this.of(editor.document);
        if (analysis) this.show(analysis);
      }),
    );
  }

  /** What the engine told of its mechanisms; none before it is ready. */
  get mechanismInfos(): readonly MechanismInfo[] {
    return this.client.capabilities?.mechanisms ?? [];
  }

  /** The analysis that the views show: that of the active text, else the last one shown. */
  get shown(): Analysis | null {
    return this.current;
  }

  get state(): AnalysisState {
    if (this.current) return this.current.state;
    if (vscode.workspace.isTrusted) return { status: 'none' };
    const message = vscode.l10n.t(
      'Models are loaded, and settings of the workspace are obeyed, only in a trusted workspace.',
    );
    return { status: 'error', document: null, message, actions: ['manageTrust'] };
  }

  /** Of every document that is open. */
  get all(): readonly Analysis[] {
    return [...this.analyses.values()];
  }

  /** Finished analyses that the shown one can be held against: what it replaced, then those of other documents. */
  get others(): OtherAnalysis[] {
    const earlier = this.current && this.earlier.of(this.current.uri);
    const all = [
      ...(earlier ? [otherAnalysis(earlier, true)] : []),
      ...this.all.filter(one => one !== this.current).map(one => otherAnalysis(one, false)),
    ];
    return all.filter(one => one !== null);
  }

  /** One that the engine knows, or can read again. @throws EngineError */
  find(id: string): Analysis {
    const analysis = this.alive.get(id) ?? this.earlier.find(id);
    if (!analysis) throw new EngineError('That analysis is no longer shown.', ErrorCode.unknownAnalysis);
    return analysis;
  }

  of(document: vscode.TextDocument): Analysis | undefined {
    return this.byUri(document.uri);
  }

  /** The analysis in which a document is the target text, the shown one first. */
  ofTarget(document: vscode.TextDocument): Analysis | undefined {
    const all = [...(this.current ? [this.current] : []), ...this.analyses.values()];
    return all.find(analysis => analysis.targetTokens && analysis.target?.document === document);
  }

  byUri(uri: vscode.Uri): Analysis | undefined {
    return this.analyses.get(uri.toString());
  }

  /** Resolves when nothing runs and no re-analysis waits for its pause. */
  async whenIdle(): Promise<void> {
    while (this.active.size || this.pauses.size) {
      await Promise.allSettled(this.active);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }

  /** Analyses a document or a part of it. A run of the same document that is still going is cancelled. */
  async analyze(document: vscode.TextDocument, part?: vscode.Range, quiet = false): Promise<void> {
    await this.kept(this.run(document, { part, quiet, model: this.settings.model, trial: false }));
  }

  /** Analyzes it with a model that is on trial: where that fails, the finished analysis stays. Gives why it failed. */
  analyzeWith(
    model: string,
    document: vscode.TextDocument,
    part?: vscode.Range,
  ): Promise<EngineError | null> {
    return this.kept(this.run(document, { part, quiet: false, model, trial: true }));
  }

  private async kept<T>(run: Promise<T>): Promise<T> {
    this.active.add(run);
    try {
      return await run;
    } finally {
      this.active.delete(run);
    }
  }

  cancel(document?: vscode.TextDocument): void {
    const analysis = document ? this.of(document) : this.current;
    if (analysis?.running) analysis.cancellation.cancel();
  }

  /** Forgets a document's analysis. */
  clear(analysis: Analysis | null = this.current): void {
    if (!analysis) return;
    this.stopPause(analysis.uri);
    this.analyses.delete(analysis.uri);
    this.release(analysis);
    this.release(analysis.replaces);
    this.release(this.earlier.drop(analysis.uri));
    if (this.current !== analysis) this.othersChanged.fire();
    else this.show([...this.analyses.values()].at(-1) ?? null);
  }

  /** As `clear`, for good. */
  forget(analysis: Analysis | null = this.current): void {
    this.clear(analysis);
    if (analysis) this.forgotten.fire(analysis.uri);
  }

  /** Takes in what an earlier session has kept of a document, if its text is still the same. */
  restore(document: vscode.TextDocument, saved: SavedAnalysis): void {
    const part = saved.document.selectionStart;
    const start = part ?? 0;
    const end = start + saved.text.length;
    const whole = Math.min(documentLength(document), MAXIMUM_TEXT);
    if (this.of(document) || (part === null && end !== whole)) return;
    const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
    if (document.getText(range) !== saved.text) return;
    const source = new AnalysedText(document, start, end, saved.text, part !== null);
    const analysis = new Analysis(`${document.uri.toString()}#${++this.runs}`, source, null);
    analysis.restore(saved);
    this.analyses.set(analysis.uri, analysis);
    this.alive.set(analysis.id, analysis);
    if (!this.current || vscode.window.activeTextEditor?.document === document) this.show(analysis);
  }

  stateOf(id: string): AnalysisState | undefined {
    return this.alive.get(id)?.state;
  }

  /** A question about an analysis. The engine reads again what it has lost: it has died meanwhile, or is another session's. */
  async request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M> & { id: string },
    token?: Token,
  ): Promise<EngineResult<M>> {
    // Not worth a start of the engine, which has never heard of it either.
    const analysis = this.find(params.id);
    try {
      await this.reviving.get(analysis);
      return await this.client.request(method, params, token);
    } catch (error) {
      const lost = error instanceof EngineError && error.code === ErrorCode.unknownAnalysis;
      const kept = this.isCurrent(analysis) || this.earlier.of(analysis.uri) === analysis;
      if (!lost || !analysis.ready || !kept) throw error;
      await this.revive(analysis);
      return this.client.request(method, params, token);
    }
  }

  private revive(analysis: Analysis): Promise<void> {
    let reviving = this.reviving.get(analysis);
    if (!reviving) {
      reviving = this.kept(this.readAgain(analysis)).finally(() => this.reviving.delete(analysis));
      this.reviving.set(analysis, reviving);
    }
    return reviving;
  }

  /** The engine learns again what it knew of a finished analysis; nothing changes for those who look at it. */
  private async readAgain(analysis: Analysis): Promise<void> {
    const { summary } = analysis.ready!;
    const { ids, total } = summary.tokens;
    const title = vscode.l10n.t('The engine reads {0} again', analysis.documentInfo.name);
    const read = await tellProgress({ title, quiet: true }, () =>
      this.client.request(
        'analysis/start',
        {
          id: analysis.id,
          model: summary.model.ref,
          text: analysis.source.text,
          target: summary.target?.source === 'given' ? summary.target.text : null,
          device: this.settings.device,
          maxTokens: ids.length < total ? ids.length : this.settings.maxTokens,
          mechanisms: distinct(summary.mechanisms.map(({ setting }) => setting)),
          propagate: false,
          attention: attentionOf(summary),
        },
        analysis.cancellation.token,
      ),
    );
    if (isSameText(read, summary)) return;
    void this.again(analysis);
    throw new EngineError('The model reads this text otherwise than before: it is analyzed anew.', null);
  }

  ask<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal,
  ): Promise<EngineResult<M>> {
    return this.request(method, params as EngineParams<M> & { id: string }, tokenOf(signal));
  }

  readonly t = vscode.l10n.t;

  /** Takes in what has become of an analysis, and tells of it when the views show it. */
  tell(update: AnalysisUpdate): void {
    const analysis = this.alive.get(idOf(update));
    if (analysis?.update(update) && this.current === analysis) this.tellAll({ update });
  }

  /** @throws EngineError */
  finished(id: string): AnalysisSummary {
    const { ready } = this.find(id);
    if (!ready) throw new EngineError('That analysis is not finished.', ErrorCode.unknownAnalysis);
    return ready.summary;
  }

  /** The text of an analysis as it was read. */
  textOf(id: string): string {
    return this.find(id).source.text;
  }

  /** The engine has died: runs have failed by themselves; finished analyses are lost there, the shown one comes back. */
  recover(): void {
    if (this.current?.ready) void this.again(this.current);
  }

  /** The engine was ended because somebody wished it: the shown one comes back, and a run that was cut off begins again. */
  beginAgain(): void {
    if (this.current) void this.again(this.current);
  }

  override dispose(): void {
    for (const uri of [...this.pauses.keys()]) this.stopPause(uri);
    for (const analysis of this.alive.values()) analysis.cancellation.cancel();
    this.analyses.clear();
    this.alive.clear();
    super.dispose();
  }

  // -------------------------------------------------------------- one run

  private async run(
    document: vscode.TextDocument,
    { part, quiet, model, trial }: Run,
  ): Promise<EngineError | null> {
    const uri = document.uri.toString();
    this.stopPause(uri);
    const there = this.analyses.get(uri);
    // A finished one may come back, or be asked about as the earlier one.
    if (there?.running) there.cancellation.cancel();
    // Of a run that is cut off, what it was to replace.
    const previous = there?.replaces ?? there;

    const range = part ?? wholeRange(document);
    const start = document.offsetAt(range.start);
    const end = Math.min(document.offsetAt(range.end), start + MAXIMUM_TEXT);
    const text = document.getText(new vscode.Range(range.start, document.positionAt(end)));
    const source = new AnalysedText(document, start, end, text, part !== undefined);
    const target = targetOf(this.targets.of(document));
    const analysis = new Analysis(`${uri}#${++this.runs}`, source, target, previous ?? null);
    this.analyses.set(uri, analysis);
    this.alive.set(analysis.id, analysis);
    // A re-analysis in the background takes no view away from another text.
    if (!quiet || !this.current || this.current === there) this.show(analysis);

    if (text.length === 0) {
      analysis.fail(vscode.l10n.t('The document is empty: there is no text to analyze.'), []);
      if (previous) this.release(previous);
      this.statusChanged(analysis);
      return null;
    }
    // How far it is stands in one place, the status item, whose click cancels it; a view that is open fills meanwhile.
    return this.askEngine(analysis, previous, model, trial);
  }

  private async askEngine(
    analysis: Analysis,
    previous: Analysis | undefined,
    model: string,
    trial: boolean,
  ): Promise<EngineError | null> {
    const { settings } = this;
    let failure: EngineError | null = null;
    try {
      const summary = await this.client.request(
        'analysis/start',
        {
          id: analysis.id,
          model,
          text: analysis.source.text,
          target: analysis.target?.text ?? null,
          device: settings.device,
          maxTokens: settings.maxTokens,
          mechanisms: settings.mechanisms(this.client.capabilities?.mechanisms ?? null).given,
          propagate: settings.propagate,
          attention: settings.attention,
        },
        analysis.cancellation.token,
      );
      if (!this.isCurrent(analysis)) {
        this.release(analysis);
        return null;
      }
      const documentEnd = documentLength(analysis.document);
      if (!analysis.isSelection && analysis.source.end < documentEnd && !analysis.textChanged) {
        summary.notes.push(
          vscode.l10n.t(
            'Only the first {0} characters of {1} were analyzed.',
            analysis.source.end,
            documentEnd,
          ),
        );
      }
      const lost = this.targets.noteOnLost(analysis.document);
      if (lost && summary.target) summary.notes.push(lost);
      analysis.finish(summary, previous?.ready);
    } catch (error) {
      if (!this.isCurrent(analysis)) {
        this.release(analysis);
        return null;
      }
      failure = asEngineError(error);
      if (failure.cancelled || (trial && previous?.ready)) {
        this.release(analysis);
        this.putBack(analysis, previous);
        return failure.cancelled ? null : failure;
      }
      analysis.fail(failure.message, remedies(failure));
    }
    if (previous) this.retire(previous, analysis);
    this.statusChanged(analysis);
    return failure;
  }

  /** A run that is cancelled, or fails with a model on trial, leaves what was there before it. */
  private putBack(analysis: Analysis, previous: Analysis | undefined): void {
    if (previous?.ready) {
      this.analyses.set(previous.uri, previous);
      if (this.current === analysis) this.show(previous);
    } else {
      if (previous) this.release(previous);
      this.clear(analysis);
    }
  }

  private async again(analysis: Analysis): Promise<void> {
    const range = analysis.currentRange();
    if (!this.isCurrent(analysis) || !range) return;
    await this.analyze(analysis.document, analysis.isSelection ? range : undefined, true);
  }

  /** Lets the engine forget it; an engine that is not running has nothing to forget. */
  private release(analysis: Analysis | null): void {
    if (!analysis) return;
    analysis.cancellation.cancel();
    this.forgetInEngine(analysis);
  }

  /** What is replaced stays where it differs; the engine reads it again when it is first asked about it. */
  private retire(previous: Analysis, now: Analysis): void {
    const gone = this.earlier.replaced(previous, now);
    this.release(gone);
    if (gone !== previous) this.forgetInEngine(previous);
  }

  private forgetInEngine(analysis: Analysis): void {
    this.alive.delete(analysis.id);
    if (this.client.state === 'running')
      this.client.request('analysis/dispose', { id: analysis.id }).catch(() => undefined);
  }

  // -------------------------------------------------------------- events

  private listenToEngine(): void {
    for (const name of [
      'analysis/progress',
      'analysis/began',
      'analysis/core',
      'analysis/mechanismDone',
    ] as const)
      this.register(
        this.client.on(name, said => {
          const update = updateFrom(name, said);
          if (update) this.tell(update);
        }),
      );
  }

  private edited(event: vscode.TextDocumentChangeEvent): void {
    if (event.contentChanges.length === 0) return;
    // Those that a run is to replace as well: they come back when it fails.
    for (const analysis of [...this.alive.values()])
      if (analysis.document === event.document || analysis.target?.document === event.document)
        this.editedOne(analysis, event);
  }

  private editedOne(analysis: Analysis, event: vscode.TextDocumentChangeEvent): void {
    if (analysis.edit(event)) this.tell({ type: 'stale', id: analysis.id, stale: analysis.textChanged });
    if (!this.settings.reanalyzeOnEdit || analysis.state.status === 'error') return;
    this.stopPause(analysis.uri);
    if (!analysis.textChanged) return;
    const pause = setTimeout(() => {
      this.pauses.delete(analysis.uri);
      const latest = this.of(analysis.document);
      if (latest) void this.again(latest);
    }, this.settings.reanalyzeDelay);
    this.pauses.set(analysis.uri, pause);
  }

  private closed(document: vscode.TextDocument): void {
    // Also told when only the language of a document changes: then it is still there.
    if (vscode.workspace.textDocuments.includes(document)) return;
    const analysis = this.of(document);
    if (analysis) this.clear(analysis);
  }

  private stopPause(uri: string): void {
    clearTimeout(this.pauses.get(uri));
    this.pauses.delete(uri);
  }

  // -------------------------------------------------------------- who is shown

  private isCurrent(analysis: Analysis): boolean {
    return this.analyses.get(analysis.uri) === analysis;
  }

  private show(analysis: Analysis | null): void {
    if (this.current === analysis) return;
    this.current = analysis;
    this.tellAll({ changed: analysis });
  }

  private statusChanged(analysis: Analysis): void {
    if (this.current === analysis) this.tellAll({ changed: analysis });
    else this.othersChanged.fire();
  }

  /** Everyone hears of one thing before anyone hears of the next, which may have come of it. */
  private tellAll(event: StoreEvent): void {
    this.events.push(event);
    if (this.events.length > 1) return;
    for (let next: StoreEvent | undefined; (next = this.events[0]); this.events.shift()) {
      if ('update' in next) this.updated.fire(next.update);
      else this.changed.fire(next.changed);
      this.toldAll.fire(next);
    }
  }
}

/** What helps against a failure, the likeliest first. */
function remedies(failure: EngineError): HostCommand[] {
  if (failure.isOfDevice) return ['openDeviceSetting', 'analyze', 'showLog'];
  if (failure.isOfMemory) return ['selectModel', 'openSettings', 'showLog'];
  if (failure instanceof EngineDiedError) return ['analyze', 'showLog'];
  return ['analyze', 'selectModel', 'showLog'];
}

/** A document as target text: as much of it as of an analysed one. */
function targetOf(document: vscode.TextDocument | null): AnalysedText | null {
  if (!document) return null;
  const end = Math.min(documentLength(document), MAXIMUM_TEXT);
  const text = document.getText(new vscode.Range(new vscode.Position(0, 0), document.positionAt(end)));
  return new AnalysedText(document, 0, end, text, false);
}

/** What ran in an analysis in place of dense attention. */
function attentionOf({ sparse }: AnalysisSummary): ChosenAttention | null {
  if (sparse?.setting) return { setting: sparse.setting };
  return sparse?.plan === undefined ? null : { plan: sparse.plan };
}
