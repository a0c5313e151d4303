import * as vscode from 'vscode';
import { markdown } from '../../shared/foreign';
import type { RunEffect, TokenTable } from '../../shared/protocol/engine';
import {
  changeLimit,
  changeOf,
  changePerToken,
  effectOfChange,
  type ChangeSource,
} from '../../shared/protocol/host';
import type { AnalysedText } from '../analysis/analysedText';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { changeStep, CHANGE_STEPS } from './changeScale';
import { Owner } from '../disposable';
import { tokenCode } from './hoverText';
import { describeSetting } from '../../shared/setting';
import { number, percent, signed } from '../../shared/numbers';
import type { SelectionModel } from '../views/selectionModel';
import type { Settings } from '../workbench/settings';
import { tooltip } from '../workbench/tell';

/** From this step on a token is underlined like a problem and marked on the overview ruler. */
const PROBLEM_STEP = 4;

/**
 * What a change of the attention costs, on the text: tokens coloured by how much their loss changes, and the text whose
 * keys are taken away struck through.
 */
export class ChangeMarks extends Owner {
  private readonly worse = this.steps('worse');
  private readonly better = this.steps('better');
  private readonly blocked = this.register(
    vscode.window.createTextEditorDecorationType({
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
      textDecoration: 'line-through',
      opacity: '0.75',
      border: '1px dashed',
      borderColor: new vscode.ThemeColor('attentionInspector.blockedBorder'),
    }),
  );

  constructor(
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
    private readonly settings: Settings,
  ) {
    super();
    this.register(store.onChange(() => this.paint()));
    this.register(
      store.onUpdate(
        ({ type }) => ['interventions', 'plan', 'mechanism', 'stale'].includes(type) && this.paint(),
      ),
    );
    let shown = '';
    this.register(
      selection.onChange(({ change }) => {
        // Heads and tokens change at every key press, and nothing here with them.
        const key = JSON.stringify(change);
        if (key !== shown) this.paint();
        shown = key;
      }),
    );
    this.register(vscode.window.onDidChangeVisibleTextEditors(() => this.paint()));
    this.register(
      vscode.workspace.onDidChangeConfiguration(event => {
        if (event.affectsConfiguration('attentionInspector.changeMarks')) this.paint();
      }),
    );
  }

  private paint(): void {
    const analysis = this.store.shown;
    const marks = analysis?.ready && this.settings.changeMarks ? this.marksOf(analysis) : null;
    for (const editor of vscode.window.visibleTextEditors) {
      const here = marks?.document === editor.document ? marks : null;
      this.worse.forEach((type, step) => editor.setDecorations(type, here?.worse[step] ?? []));
      this.better.forEach((type, step) => editor.setDecorations(type, here?.better[step] ?? []));
      const blocked =
        analysis?.ready && this.settings.changeMarks ? blockedIn(analysis, editor.document) : [];
      editor.setDecorations(this.blocked, blocked);
    }
  }

  private marksOf(analysis: Analysis) {
    const ready = analysis.ready!;
    const change = changeOf(ready, this.selection.current);
    const effect = change && effectOfChange(ready, change, propagatedResult(analysis, change));
    const text = writtenText(analysis);
    if (!effect || !text) return null;
    const changes = changePerToken(effect, text.tokens.ids.length);
    const limit = changeLimit(effect.perToken);
    const worse: vscode.DecorationOptions[][] = this.worse.map(() => []);
    const better: vscode.DecorationOptions[][] = this.better.map(() => []);
    const title = changeTitle(change, ready.interventions.list.length, ready.plan?.budget ?? 0);
    changes.forEach((value, token) => {
      const step = changeStep(value, limit);
      const found = step > 0 ? text.source.rangeOfToken(text.tokens, token) : null;
      if (!found) return;
      const range = withoutBlanks(text.source.document, found);
      const hoverMessage = hoverOf(analysis, effect, title, text.tokens, token, value, limit);
      (value > 0 ? worse : better)[step - 1]!.push({ range, hoverMessage });
    });
    return { document: text.source.document, worse, better };
  }

  private steps(direction: 'worse' | 'better'): vscode.TextEditorDecorationType[] {
    return Array.from({ length: CHANGE_STEPS }, (_, index) => {
      const problem = direction === 'worse' && index + 1 >= PROBLEM_STEP;
      const line = new vscode.ThemeColor('attentionInspector.worseMark');
      return this.register(
        vscode.window.createTextEditorDecorationType({
          rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
          backgroundColor: new vscode.ThemeColor(`attentionInspector.${direction}${index + 1}`),
          ...(problem && {
            borderColor: line,
            borderStyle: 'solid',
            borderWidth: '0 0 2px 0',
            overviewRulerColor: line,
            overviewRulerLane: vscode.OverviewRulerLane.Left,
          }),
        }),
      );
    });
  }
}

/** The text whose tokens are predicted, and where it stands: the analysed one, or a target text that is a document. */
export function writtenText(analysis: Analysis): { tokens: TokenTable; source: AnalysedText } | null {
  const { summary } = analysis.ready!;
  if (!summary.target || summary.target.source === 'text')
    return { tokens: summary.target?.tokens ?? summary.tokens, source: analysis.source };
  const tokens = analysis.targetTokens;
  return tokens && analysis.target ? { tokens, source: analysis.target } : null;
}

export function propagatedResult(analysis: Analysis, change: ChangeSource) {
  if (change.kind !== 'mechanism') return undefined;
  return analysis.mechanisms.find(one => one.scope === 'propagated' && one.setting.key === change.choice.key);
}

/** Without the blanks that many tokens begin with: a mark stands on its word. */
function withoutBlanks(document: vscode.TextDocument, range: vscode.Range): vscode.Range {
  if (!range.isSingleLine) return range;
  const text = document.getText(range);
  const blanks = text.length - text.trimStart().length;
  return blanks === text.length ? range : range.with(range.start.translate(0, blanks));
}

/** Text whose keys are hidden from some head. */
function blockedIn(analysis: Analysis, document: vscode.TextDocument): vscode.DecorationOptions[] {
  const { interventions } = analysis.ready!;
  return interventions.list.flatMap(one => {
    if (one.kind !== 'span' && one.kind !== 'edge') return [];
    const info = analysis.began?.model.cores.find(({ core }) => core === one.core);
    const side = info ? (info.kind === 'decoder' ? 'target' : 'text') : (one.side ?? 'text');
    const source = side === 'text' ? analysis.source : analysis.target;
    const tokens = side === 'text' ? analysis.began?.tokens : analysis.targetTokens;
    if (!source || !tokens || source.document !== document) return [];
    const [from, to] = one.kind === 'span' ? [one.from, one.to] : [one.key, one.key + 1];
    const first = source.rangeOfToken(tokens, from);
    const last = source.rangeOfToken(tokens, to - 1);
    if (!first || !last) return [];
    const hoverMessage = vscode.l10n.t('The attention to this text is blocked.');
    return [{ range: new vscode.Range(first.start, last.end), hoverMessage }];
  });
}

function changeTitle(change: ChangeSource, interventions: number, budget: number): string {
  const { t } = vscode.l10n;
  switch (change.kind) {
    case 'interventions':
      return interventions === 1 ? t('1 intervention') : t('{0} interventions', interventions);
    case 'plan':
      return t('the plan at {0} of the pairs', percent(budget));
    case 'mechanism':
      return describeSetting(change.choice);
  }
}

/** The token's numbers, and what the colours mean. */
function hoverOf(
  analysis: Analysis,
  { measure }: RunEffect,
  title: string,
  tokens: TokenTable,
  token: number,
  value: number,
  limit: number,
): vscode.MarkdownString {
  const { t } = vscode.l10n;
  const name = tokenCode(tokens.text[token] ?? '');
  const loss = analysis.ready?.summary.loss?.perToken[token - 1];
  const what =
    measure === 'output'
      ? t('{0}: the output turns by {1} (1 - cosine)', name, signed(value))
      : loss === undefined
        ? t('{0}: loss {1} nats', name, signed(value))
        : t('{0}: loss {1} → {2} nats ({3})', name, number(loss), number(loss + value), signed(value));
  const unit = measure === 'loss' ? t('nats') : '';
  const legend = t(
    'Under {0} (propagated). Orange: worse, blue: better, full colour at {1} {2}.',
    markdown(title),
    number(limit),
    unit,
  );
  return tooltip(`${what}\n\n${legend}`);
}
