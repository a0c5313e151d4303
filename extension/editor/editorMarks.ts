import * as vscode from 'vscode';
import { sidesOf, type Link } from '../../shared/protocol/engine';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { wordAround } from './hover';
import { step, STEPS, weight, WEIGHTS } from './massScale';
import type { SelectionModel } from '../views/selectionModel';
import type { Settings } from '../workbench/settings';

/** More links than this cannot be told apart on the text. */
const LINKS = 1000;
/** From this step on a link is marked on the overview ruler, so that far ones are found. */
const RULER_STEP = 4;

/**
 * The editor as a view: the pinned token, where it looks (ten steps of one theme colour), marks on the overview
 * ruler, and the token that another view previews.
 */
export class EditorMarks extends Owner {
  private readonly steps = Array.from({ length: STEPS }, (_, index) =>
    this.decoration({
      backgroundColor: new vscode.ThemeColor(`attentionInspector.mass${index + 1}`),
      ...(index + 1 >= RULER_STEP && {
        overviewRulerColor: new vscode.ThemeColor('attentionInspector.rulerMark'),
        overviewRulerLane: vscode.OverviewRulerLane.Center,
      }),
    }),
  );
  /** On the letters themselves: backgrounds lie under the editor's own word highlight, which hides them. */
  private readonly weights = WEIGHTS.map((_, index) =>
    this.decoration({
      textDecoration: `underline solid ${index + 2}px var(--vscode-attentionInspector-strongLink)`,
      ...(index + 1 === WEIGHTS.length && { fontWeight: 'bold' }),
    }),
  );
  private readonly pinned = this.decoration({
    border: '2px solid',
    borderColor: new vscode.ThemeColor('attentionInspector.pinnedBorder'),
    overviewRulerColor: new vscode.ThemeColor('attentionInspector.pinnedBorder'),
    overviewRulerLane: vscode.OverviewRulerLane.Full,
  });
  private readonly previewed = this.decoration({
    border: '1px dashed',
    borderColor: new vscode.ThemeColor('attentionInspector.pinnedBorder'),
  });
  private asking: vscode.CancellationTokenSource | null = null;

  constructor(
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
    private readonly settings: Settings,
  ) {
    super();
    this.register(selection.onChange(() => void this.paint()));
    this.register(store.onChange(() => void this.paint()));
    this.register(vscode.window.onDidChangeVisibleTextEditors(() => void this.paint()));
    this.register(
      vscode.workspace.onDidChangeConfiguration(event => {
        if (event.affectsConfiguration('attentionInspector')) void this.paint();
      }),
    );
    this.register(selection.onPreview(token => this.preview(token)));
    this.register(vscode.window.onDidChangeActiveTextEditor(editor => editor && this.follow(editor)));
    this.register(vscode.window.onDidChangeTextEditorSelection(event => this.follow(event.textEditor)));
  }

  override dispose(): void {
    this.asking?.cancel();
    super.dispose();
  }

  /** Paints the pinned token's attention in the editors of the shown document and clears all others. */
  private async paint(): Promise<void> {
    this.asking?.cancel();
    const analysis = this.store.shown;
    const { token, core, head } = this.selection.current;
    if (!analysis?.began || token === null || !this.settings.decorations) return this.clear();

    const asking = (this.asking = new vscode.CancellationTokenSource());
    let links: readonly Link[] = [];
    try {
      links = await this.linksOf(analysis, core, head, token, asking.token);
    } catch {
      // Cancelled, or that core is not computed yet: the pinned token alone is marked.
    }
    if (asking.token.isCancellationRequested || this.isDisposed) return;
    const ranges = this.rangesByStep(analysis, links);
    const heavy = rangesByWeight(analysis, links);
    const pinned = analysis.rangeOfToken(token);
    for (const editor of vscode.window.visibleTextEditors) {
      const here = editor.document === analysis.document;
      this.steps.forEach((type, index) => editor.setDecorations(type, here ? ranges[index]! : []));
      this.weights.forEach((type, index) => editor.setDecorations(type, here ? heavy[index]! : []));
      editor.setDecorations(this.pinned, here && pinned ? [pinned] : []);
    }
  }

  /** Where a token looks: one head's whole row, or the heaviest keys of the mean over heads. */
  private async linksOf(
    analysis: Analysis,
    core: number | null,
    head: number | null,
    token: number,
    cancel: vscode.CancellationToken,
  ): Promise<readonly Link[]> {
    const { id } = analysis;
    const info = analysis.began?.model.cores.find(one => one.core === core);
    const { queries, keys } = sidesOf(info?.kind ?? 'self');
    // A decoder's queries and keys are of another text than the one that is painted.
    if (queries !== 'text' || keys !== 'text') return [];
    if (core === null || head === null) {
      const question = { id, core, head, tokens: [token], top: LINKS, mechanisms: null };
      const [found] = await this.store.request('analysis/token', question, cancel);
      return found!.looksAt;
    }
    const question = { id, core, head, token, direction: 'from' as const };
    const row = await this.store.request('analysis/row', question, cancel);
    return Array.from(row, (mass, key) => ({ token: key, mass }));
  }

  private rangesByStep(analysis: Analysis, links: readonly Link[]): vscode.Range[][] {
    const ranges: vscode.Range[][] = this.steps.map(() => []);
    const heaviest = Math.max(0, ...links.map(({ mass }) => mass));
    for (const { token, mass } of links) {
      const at = step(mass, heaviest, this.settings.massScale);
      const range = at > 0 ? analysis.rangeOfToken(token) : null;
      if (range) ranges[at - 1]!.push(range);
    }
    return ranges;
  }

  private clear(): void {
    for (const editor of vscode.window.visibleTextEditors)
      for (const type of [...this.steps, ...this.weights, this.pinned, this.previewed])
        editor.setDecorations(type, []);
  }

  private preview(token: number | null): void {
    const analysis = this.store.shown;
    if (!analysis || !this.settings.decorations) return;
    const range = token === null ? null : analysis.rangeOfToken(token);
    for (const editor of vscode.window.visibleTextEditors)
      if (editor.document === analysis.document) editor.setDecorations(this.previewed, range ? [range] : []);
  }

  /** The word at the cursor is previewed in the views. */
  private follow(editor: vscode.TextEditor): void {
    const analysis = this.store.shown;
    // In another text, nothing of this one is meant.
    if (!analysis || editor.document !== analysis.document) return this.selection.preview(null);
    const word = wordAround(editor.document, editor.selection.active);
    const first = word && analysis.tokensAt(...offsets(editor.document, word))[0];
    this.selection.preview(first ?? null);
  }

  private decoration(options: vscode.DecorationRenderOptions): vscode.TextEditorDecorationType {
    const closed = vscode.DecorationRangeBehavior.ClosedClosed;
    return this.register(vscode.window.createTextEditorDecorationType({ rangeBehavior: closed, ...options }));
  }
}

function rangesByWeight(analysis: Analysis, links: readonly Link[]): vscode.Range[][] {
  return WEIGHTS.map((_, index) =>
    links
      .filter(({ mass }) => weight(mass) === index + 1)
      .map(({ token }) => analysis.rangeOfToken(token))
      .filter(range => range !== null && range !== undefined),
  );
}

function offsets(document: vscode.TextDocument, range: vscode.Range): [number, number] {
  return [document.offsetAt(range.start), document.offsetAt(range.end)];
}
