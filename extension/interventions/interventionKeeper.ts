import * as vscode from 'vscode';
import { reasonOf } from '../../shared/host/host';
import type { Intervener } from '../../shared/host/intervener';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { EngineDiedError } from '../engine/engineClient';
import { anchored, settled, shifted, type Anchored } from './interventionAnchors';
import { tell } from '../workbench/tell';

/**
 * Carries what is taken away from the attention of a text over when the text is analysed anew, after an edit or because
 * the engine died.
 */
export class InterventionKeeper extends Owner {
  /** By document: the analysis that its list belongs to. */
  private readonly owners = new Map<string, Analysis>();
  /** Lists on their way from one analysis of a document to the next. */
  private readonly moving = new Map<Analysis, Anchored[]>();

  constructor(
    private readonly store: AnalysisStore,
    private readonly intervener: Intervener,
  ) {
    super();
    this.register(
      store.afterEvent(event => {
        if ('changed' in event) this.follow(event.changed);
        else if (event.update.type === 'interventions' && store.shown)
          this.owners.set(store.shown.uri, store.shown);
      }),
    );
    this.register(
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        for (const [analysis, list] of this.moving)
          if (analysis.document === document) this.moving.set(analysis, shifted(list, contentChanges));
      }),
    );
  }

  /** A new analysis of a text takes over what was taken away in the one before. */
  private follow(analysis: Analysis | null): void {
    for (const [uri, owner] of this.owners) {
      const current = this.store.byUri(owner.document.uri);
      if (!current) this.owners.delete(uri);
      if (current !== owner) this.intervener.stop(owner.id);
    }
    if (!analysis) return;
    const owner = this.owners.get(analysis.uri);
    if (owner && owner !== analysis && !analysis.ready?.interventions.list.length) {
      // Anchors are taken at once: what is edited from now on is told to the new analysis alone.
      this.moving.set(analysis, this.moving.get(owner) ?? anchored(owner));
      this.moving.delete(owner);
    }
    if (owner || analysis.ready?.interventions.list.length) this.owners.set(analysis.uri, analysis);
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
    if (notice) void tell('warning', notice);
    void this.intervener.run(analysis.id, kept, notice);
  }
}

/** Tells the user why the text did not run on, and returns the sentence. */
export function tellFailedRun(error: unknown): string {
  const reason =
    error instanceof EngineDiedError
      ? vscode.l10n.t('The engine stopped while the text ran on; what was taken away is kept.')
      : reasonOf(error);
  void tell('warning', reason);
  return reason;
}
