import * as vscode from 'vscode';
import { sidesOf, type Link, type Side } from '../../shared/protocol/engine';
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

/** What a token looks at, in each text of an encoder-decoder; an analysis of one text has no target. */
type Looks = Record<Side, readonly Link[]>;
const NO_LOOKS: Looks = { text: [], target: [] };

/**
 * The editor as a view: the pinned token, where it looks (ten steps of one theme colour), marks on the overview
 * ruler, and the token that another view previews. In the target text of an encoder-decoder the token at the cursor takes
 * the place of the pinned one, which is of the analysed text.
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
  /** The token at the cursor, while the cursor is in the target text of this analysis. */
  private inTarget: { analysis: Analysis; token: number } | null = null;

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

  /** Paints the attention of the marked token in the editors of the shown analysis and clears all others. */
  private async paint(): Promise<void> {
    this.asking?.cancel();
    const analysis = this.store.shown;
    const marked = this.marked(analysis);
    if (!analysis?.began || !marked || !this.settings.decorations) return this.clear();

    const asking = (this.asking = new vscode.CancellationTokenSource());
    let looks = NO_LOOKS;
    try {
      looks = await this.looksOf(analysis, marked, asking.token);
    } catch {
      // Cancelled, or that core is not computed yet: the marked token alone is marked.
    }
    if (asking.token.isCancellationRequested || this.isDisposed) return;
    const heaviest = Math.max(0, ...[...looks.text, ...looks.target].map(({ mass }) => mass));
    for (const editor of vscode.window.visibleTextEditors) {
      const side = sideOf(analysis, editor.document);
      const links = side ? looks[side] : [];
      const rangeOf = (token: number) => (side ? analysis.rangeOfToken(token, side) : null);
      const ranges = this.rangesByStep(links, heaviest, rangeOf);
      const heavy = rangesByWeight(links, rangeOf);
      const own = side === marked.side ? rangeOf(marked.token) : null;
      this.steps.forEach((type, index) => editor.setDecorations(type, ranges[index]!));
      this.weights.forEach((type, index) => editor.setDecorations(type, heavy[index]!));
      editor.setDecorations(this.pinned, own ? [own] : []);
    }
  }

  private marked(analysis: Analysis | null): { side: Side; token: number } | null {
    if (analysis && this.inTarget?.analysis === analysis)
      return { side: 'target', token: this.inTarget.token };
    const { token } = this.selection.current;
    return token === null ? null : { side: 'text', token };
  }

  /** Where a token looks: one head's whole row, or the heaviest keys of the mean over heads. */
  private async looksOf(
    analysis: Analysis,
    { side, token }: { side: Side; token: number },
    cancel: vscode.CancellationToken,
  ): Promise<Looks> {
    const { id } = analysis;
    const { core, head } = this.selection.current;
    const info = analysis.began?.model.cores.find(one => one.core === core);
    const { queries, keys } = sidesOf(info?.kind ?? 'self');
    if (side === 'text') {
      // A decoder's queries and keys are of another text than the pinned token.
      if (queries !== 'text' || keys !== 'text') return NO_LOOKS;
      if (core !== null && head !== null) {
        const question = { id, core, head, token, direction: 'from' as const };
        const row = await this.store.request('analysis/row', question, cancel);
        return { ...NO_LOOKS, text: Array.from(row, (mass, key) => ({ token: key, mass })) };
      }
    }
    const question = { id, core, head, side, tokens: [token], top: LINKS, mechanisms: [] };
    const [found] = await this.store.request('analysis/token', question, cancel);
    const { looksAt, looksAtSide, across } = found!;
    const other: Side = looksAtSide === 'text' ? 'target' : 'text';
    return { ...NO_LOOKS, [looksAtSide]: looksAt, [other]: across?.looksAt ?? [] };
  }

  private rangesByStep(links: readonly Link[], heaviest: number, rangeOf: RangeOf): vscode.Range[][] {
    const ranges: vscode.Range[][] = this.steps.map(() => []);
    for (const { token, mass } of links) {
      const at = step(mass, heaviest, this.settings.massScale);
      const range = at > 0 ? rangeOf(token) : null;
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
    // In no other text either, where the one that was shown before had a preview.
    for (const editor of vscode.window.visibleTextEditors)
      editor.setDecorations(this.previewed, range && editor.document === analysis.document ? [range] : []);
  }

  /** The word at the cursor is previewed in the views; one of the target text shows here where it looks. */
  private follow(editor: vscode.TextEditor): void {
    const analysis = this.store.shown;
    const side = analysis && sideOf(analysis, editor.document);
    const word = side && wordAround(editor.document, editor.selection.active);
    const [first] = word ? analysis.tokensAt(...offsets(editor.document, word), side) : [];
    // In another text, nothing of this one is meant.
    this.selection.preview(side === 'text' ? (first ?? null) : null);
    const before = this.inTarget;
    this.inTarget = analysis && side === 'target' && first !== undefined ? { analysis, token: first } : null;
    if (this.inTarget?.token !== before?.token || this.inTarget?.analysis !== before?.analysis)
      void this.paint();
  }

  private decoration(options: vscode.DecorationRenderOptions): vscode.TextEditorDecorationType {
    const closed = vscode.DecorationRangeBehavior.ClosedClosed;
    return this.register(vscode.window.createTextEditorDecorationType({ rangeBehavior: closed, ...options }));
  }
}

type RangeOf = (token: number) => vscode.Range | null;

function rangesByWeight(links: readonly Link[], rangeOf: RangeOf): vscode.Range[][] {
  return WEIGHTS.map((_, index) =>
    links
      .filter(({ mass }) => weight(mass) === index + 1)
      .map(({ token }) => rangeOf(token))
      .filter(range => range !== null),
  );
}

/** Which text of an analysis a document is; null: none. */
function sideOf(analysis: Analysis, document: vscode.TextDocument): Side | null {
  if (document === analysis.document) return 'text';
  return analysis.targetTokens && document === analysis.target?.document ? 'target' : null;
}

function offsets(document: vscode.TextDocument, range: vscode.Range): [number, number] {
  return [document.offsetAt(range.start), document.offsetAt(range.end)];
}
