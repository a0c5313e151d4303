import * as vscode from 'vscode';
import { ErrorCode, type Intervention } from '../../shared/protocol/engine';
import { NO_INTERVENTIONS, type Interventions } from '../../shared/protocol/host';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { EngineDiedError, EngineError, type EngineClient } from '../engine/engineClient';
import { anchored, settled, shifted, type Anchored } from './interventionAnchors';
import type { SelectionModel } from '../views/selectionModel';

/**
 * What is taken away from the attention of each text: runs it through the engine, and carries it over when the text is
 * analysed anew, after an edit or because the engine died.
 */
export class Intervener extends Owner {
  private readonly runs = new Map<Analysis, vscode.CancellationTokenSource>();
  /** By document: the analysis that its list belongs to. */
  private readonly owners = new Map<string, Analysis>();
  /** Lists on their way from one analysis of a document to the next. */
  private readonly moving = new Map<Analysis, Anchored[]>();

  constructor(
    client: EngineClient,
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
  ) {
    super();
    this.register(store.onChange(analysis => this.follow(analysis)));
    this.register(
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        for (const [analysis, list] of this.moving)
          if (analysis.document === document) this.moving.set(analysis, shifted(list, contentChanges));
      }),
    );
    this.register(
      client.on('analysis/progress', ({ id, phase, fraction }) => {
        // While a run waits its turn, other work on the same text tells of its progress.
        if (phase !== 'propagate') return;
        const analysis = [...this.runs.keys()].find(one => one.id === id);
        const state = analysis?.ready?.interventions;
        if (state) store.tell({ type: 'interventions', id, interventions: { ...state, running: fraction } });
      }),
    );
  }

  /** Takes something away, or gives it back when it is taken away already. */
  async toggle(...toggled: Intervention[]): Promise<void> {
    const analysis = this.store.shown;
    if (!analysis?.ready || toggled.length === 0) return;
    let { list } = analysis.ready.interventions;
    for (const one of toggled) {
      const rest = list.filter(other => !sameIntervention(other, one));
      list = rest.length < list.length ? rest : [...list, one];
    }
    const run = this.run(analysis, list, null);
    // After the views know of the list: a change that is not there would be replaced by one that is.
    this.selection.select({ change: list.length > 0 ? { kind: 'interventions' } : null });
    await run;
  }

  /** Gives back what was taken away last. */
  async undo(): Promise<void> {
    const analysis = this.store.shown;
    const list = analysis?.ready?.interventions.list ?? [];
    if (analysis && list.length > 0) await this.run(analysis, list.slice(0, -1), null);
  }

  async clear(): Promise<void> {
    const analysis = this.store.shown;
    if (analysis?.ready) await this.run(analysis, [], null);
  }

  override dispose(): void {
    for (const run of this.runs.values()) run.cancel();
    super.dispose();
  }

  private async run(analysis: Analysis, list: Intervention[], notice: string | null): Promise<void> {
    this.runs.get(analysis)?.cancel();
    this.runs.delete(analysis);
    this.owners.set(analysis.uri, analysis);
    const tell = (state: Partial<Interventions>) =>
      this.store.tell({
        type: 'interventions',
        id: analysis.id,
        interventions: { ...NO_INTERVENTIONS, list, notice, ...state },
      });
    if (list.length === 0) return tell({});
    const cancellation = new vscode.CancellationTokenSource();
    this.runs.set(analysis, cancellation);
    const isLatest = () => this.runs.get(analysis) === cancellation;
    tell({ running: 0 });
    try {
      const params = { id: analysis.id, interventions: list };
      const result = await this.store.request('analysis/intervene', params, cancellation.token);
      if (isLatest()) tell({ result });
    } catch (error) {
      if (!isLatest() || (error instanceof EngineError && error.cancelled)) return;
      // What the engine has lost is analysed again, and then the list runs with it.
      if (error instanceof EngineError && error.code === ErrorCode.unknownAnalysis) return;
      const reason = sentence(error);
      tell({ notice: reason });
      void vscode.window.showWarningMessage(reason);
    } finally {
      if (isLatest()) this.runs.delete(analysis);
      cancellation.dispose();
    }
  }

  /** A new analysis of a text takes over what was taken away in the one before. */
  private follow(analysis: Analysis | null): void {
    for (const [uri, owner] of this.owners) {
      const current = this.store.byUri(owner.document.uri);
      if (!current) this.owners.delete(uri);
      if (current !== owner) this.stop(owner);
    }
    if (!analysis) return;
    const owner = this.owners.get(analysis.uri);
    if (owner && owner !== analysis && !analysis.ready?.interventions.list.length) {
      // Anchors are taken at once: what is edited from now on is told to the new analysis alone.
      this.moving.set(analysis, this.moving.get(owner) ?? anchored(owner));
      this.moving.delete(owner);
    }
    if (owner) this.owners.set(analysis.uri, analysis);
    const list = this.moving.get(analysis);
    if (!list || !analysis.ready) return;
    this.moving.delete(analysis);
    const { kept, lost } = settled(list, analysis);
    const notice =
      lost === 0
        ? null
        : vscode.l10n.t(
            '{0} of {1} interventions were on text that has changed, and are gone.',
            lost,
            list.length,
          );
    if (notice) void vscode.window.showWarningMessage(notice);
    void this.run(analysis, kept, notice);
  }

  private stop(analysis: Analysis): void {
    this.runs.get(analysis)?.cancel();
    this.runs.delete(analysis);
  }
}

function sameIntervention(a: Intervention, b: Intervention): boolean {
  const key = (one: Intervention) => JSON.stringify(Object.entries(one).sort(([x], [y]) => (x < y ? -1 : 1)));
  return key(a) === key(b);
}

function sentence(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof EngineDiedError)) return reason;
  return vscode.l10n.t('The engine stopped while the text ran on; what was taken away is kept.');
}
