import { clearestHead } from '../../shared/host/clearestHead';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import type { SelectionModel } from './selectionModel';

/**
 * Keeps the selection meaningful when the shown analysis changes: a pinned token belongs to one text, stays on its
 * word when that text is analyzed again, and heads that the model does not have are let go of. While nobody has chosen
 * a head, the clearest one is selected, so that editor, side panel and views show the same from the first moment.
 */
export class SelectionKeeper extends Owner {
  private shown: Analysis | null;
  /** Where the pinned token stands in the document while its text is analyzed again. */
  private anchor: number | null = null;
  /** The model's heads have been there to choose from: no head means the mean from now on. */
  private offered = false;

  constructor(
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
  ) {
    super();
    this.shown = store.shown;
    this.register(
      store.afterEvent(event => {
        if ('changed' in event) this.follow(event.changed);
        else if (event.update.type === 'began') this.settle();
        else if (event.update.type === 'core') this.giveHead();
      }),
    );
  }

  private follow(analysis: Analysis | null): void {
    const before = this.shown;
    this.shown = analysis;
    if (analysis === null) this.offered = false;
    if (analysis === before) return this.giveHead();
    const { token } = this.selection.current;
    if (analysis === null || analysis.uri !== before?.uri) this.anchor = null;
    else if (token !== null) {
      const range = before.rangeOfToken(token);
      this.anchor = range && analysis.document.offsetAt(range.start);
    }
    if (before && analysis?.uri !== before.uri) before.looked = this.selection.state;
    // One comes back to what one looked at in a text; what was found anew of it has another number for each token.
    if (analysis?.looked) {
      this.selection.restore(analysis.looked);
      this.offered = !!analysis.ready;
    } else this.selection.select({ token: null });
    if (analysis?.began) this.settle();
    this.giveHead();
  }

  /** The clearest of the heads so far; when all are there, it stays. */
  private giveHead(): void {
    const analysis = this.store.shown;
    const { selection } = this;
    if (this.offered || !analysis) return;
    const clearest = clearestHead(analysis.cores);
    if (!clearest) return;
    if (selection.current.core === null || selection.isGiven) selection.give(clearest);
    this.offered = !!analysis.ready;
  }

  /** Model and tokens are known. */
  private settle(): void {
    const analysis = this.store.shown;
    if (!analysis?.began) return;
    const { core, head } = this.selection.current;
    const info = analysis.began.model.cores.find(one => one.core === core);
    if (core !== null && (!info || (head !== null && head >= info.heads))) {
      this.selection.select({ core: null, head: null });
      this.offered = false;
    }
    if (this.anchor !== null)
      this.selection.select({ token: analysis.tokensAt(this.anchor, this.anchor)[0] ?? null });
    this.anchor = null;
  }
}
