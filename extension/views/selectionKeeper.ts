import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import type { SelectionModel } from './selectionModel';

/**
 * Keeps the selection meaningful when the shown analysis changes: a pinned token belongs to one text, stays on its
 * word when that text is analyzed again, and heads that the model does not have are let go of.
 */
export class SelectionKeeper extends Owner {
  private shown: Analysis | null;
  /** Where the pinned token stands in the document while its text is analyzed again. */
  private anchor: number | null = null;

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
      }),
    );
  }

  private follow(analysis: Analysis | null): void {
    const before = this.shown;
    this.shown = analysis;
    if (analysis === before) return;
    const { token } = this.selection.current;
    if (analysis === null || analysis.uri !== before?.uri) this.anchor = null;
    else if (token !== null) {
      const range = before.rangeOfToken(token);
      this.anchor = range && analysis.document.offsetAt(range.start);
    }
    this.selection.select({ token: null });
    if (analysis?.began) this.settle();
  }

  /** Model and tokens are known. */
  private settle(): void {
    const analysis = this.store.shown;
    if (!analysis?.began) return;
    const { core, head } = this.selection.current;
    const info = analysis.began.model.cores.find(one => one.core === core);
    if (core !== null && (!info || (head !== null && head >= info.heads)))
      this.selection.select({ core: null, head: null });
    if (this.anchor !== null)
      this.selection.select({ token: analysis.tokensAt(this.anchor, this.anchor)[0] ?? null });
    this.anchor = null;
  }
}
