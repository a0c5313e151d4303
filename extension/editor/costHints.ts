import * as vscode from 'vscode';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { signed, number } from '../../shared/numbers';
import { changeOf, changePerToken, effectOfChange } from '../../shared/protocol/host';
import type { SelectionModel } from '../views/selectionModel';
import type { Settings } from '../workbench/settings';
import { propagatedResult, writtenText } from './changeMarks';

/** Tokens that have a hint. */
const MOST = 12;

/** Behind the costliest tokens of a text: what the shown change costs them, or, while nothing is changed, their loss. */
export class CostHints extends Owner implements vscode.InlayHintsProvider {
  private readonly changed = this.register(new vscode.EventEmitter<void>());
  readonly onDidChangeInlayHints = this.changed.event;

  constructor(
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
    private readonly settings: Settings,
  ) {
    super();
    const tell = () => this.changed.fire();
    this.register(store.onChange(tell));
    this.register(
      store.onUpdate(({ type }) => ['interventions', 'plan', 'mechanism', 'stale'].includes(type) && tell()),
    );
    let change = selection.current.change;
    this.register(
      selection.onChange(now => {
        if (now.change !== change) tell();
        change = now.change;
      }),
    );
    this.register(
      vscode.workspace.onDidChangeConfiguration(
        event => event.affectsConfiguration('attentionInspector.costHints') && tell(),
      ),
    );
    this.register(vscode.languages.registerInlayHintsProvider('*', this));
  }

  provideInlayHints(document: vscode.TextDocument, range: vscode.Range): vscode.InlayHint[] {
    const analysis = this.store.shown;
    const text = analysis?.ready && this.settings.costHints ? writtenText(analysis) : null;
    if (!analysis || text?.source.document !== document) return [];
    const costs = this.costsOf(analysis, text.tokens.ids.length);
    if (!costs) return [];
    const { values, say, what } = costs;
    const costliest = [...values.keys()]
      .filter(token => values[token]! > 0)
      .sort((a, b) => values[b]! - values[a]!)
      .slice(0, MOST);
    return costliest.flatMap(token => {
      const place = text.source.rangeOfToken(text.tokens, token);
      if (!place || !range.contains(place.end)) return [];
      const hint = new vscode.InlayHint(place.end, say(values[token]!));
      hint.paddingLeft = true;
      hint.tooltip = what;
      return [hint];
    });
  }

  private costsOf(analysis: Analysis, tokens: number) {
    const { t } = vscode.l10n;
    const ready = analysis.ready!;
    const change = changeOf(ready, this.selection.current);
    const effect = change && effectOfChange(ready, change, propagatedResult(analysis, change));
    if (effect?.measure === 'loss')
      return {
        values: changePerToken(effect, tokens),
        say: (value: number) => t('{0} nats', signed(value)),
        what: t('What the shown change costs this token (propagated): its loss grows by so much.'),
      };
    const { loss } = ready.summary;
    if (!loss || change) return null;
    return {
      values: changePerToken({ measure: 'loss', delta: loss.mean, perToken: loss.perToken }, tokens),
      say: (value: number) => t('{0} nats', number(value)),
      what: t('The loss of this token: one of those that the model expects least.'),
    };
  }
}
