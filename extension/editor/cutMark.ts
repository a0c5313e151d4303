import * as vscode from 'vscode';
import { count } from '../../shared/numbers';
import type { TokenTable } from '../../shared/protocol/engine';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import type { Settings } from '../workbench/settings';

/** Where a model stopped reading a text that is too long for it, in every editor of such a text: nothing is known of the rest. */
export class CutMark extends Owner {
  private readonly mark = this.register(
    vscode.window.createTextEditorDecorationType({
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
      overviewRulerColor: new vscode.ThemeColor('editorWarning.foreground'),
      overviewRulerLane: vscode.OverviewRulerLane.Full,
    }),
  );

  constructor(
    private readonly store: AnalysisStore,
    private readonly settings: Settings,
  ) {
    super();
    const paint = () => this.paint();
    this.register(store.onChange(paint));
    this.register(store.onOthers(paint));
    this.register(vscode.window.onDidChangeVisibleTextEditors(paint));
    this.register(
      vscode.workspace.onDidChangeConfiguration(
        event => event.affectsConfiguration('attentionInspector.decorations') && paint(),
      ),
    );
  }

  private paint(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const found = this.settings.decorations ? this.cutOf(editor.document) : null;
      editor.setDecorations(this.mark, found ? [found] : []);
    }
  }

  private cutOf(document: vscode.TextDocument): vscode.DecorationOptions | null {
    const own = this.store.of(document);
    if (own) return cut(own, 'text', own.began?.tokens ?? null);
    const given = this.store.ofTarget(document);
    return given ? cut(given, 'target', given.targetTokens) : null;
  }
}

/** Behind the last token that was read; null where all were. */
function cut(
  analysis: Analysis,
  side: 'text' | 'target',
  tokens: TokenTable | null,
): vscode.DecorationOptions | null {
  if (!tokens || tokens.ids.length >= tokens.total) return null;
  const last = tokens.special.lastIndexOf(0);
  const end = last < 0 ? undefined : analysis.rangeOfToken(last, side)?.end;
  if (!end) return null;
  const read = count(tokens.ids.length);
  return {
    range: new vscode.Range(end, end),
    renderOptions: {
      after: {
        contentText: tokens.estimated
          ? vscode.l10n.t('read as far as here: {0} tokens of about {1}', read, count(tokens.total))
          : vscode.l10n.t('read as far as here: {0} of {1} tokens', read, count(tokens.total)),
        color: new vscode.ThemeColor('editorCodeLens.foreground'),
        fontStyle: 'italic',
        margin: '0 1em',
      },
    },
  };
}
