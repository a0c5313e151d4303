import * as vscode from 'vscode';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { wordAround } from '../editor/hover';
import type { SelectionModel } from '../views/selectionModel';
import type { Views } from '../views/views';
import type { SampleText } from '../workbench/sampleText';
import { fillingWhile } from '../workbench/progressBar';
import { tell, tellProgress } from '../workbench/tell';
import { settingOf } from '../../shared/setting';

interface Context {
  client: EngineClient;
  store: AnalysisStore;
  selection: SelectionModel;
  views: Views;
  sample: SampleText;
}

/** In the sample: a name that is said again, so that a head that continues what was said before can be watched at it. */
const NAME = { word: 'Whitcombe', occurrence: 2 };
/** Tokens that the window of the last question sees. */
const WINDOW = 64;

/** For the panel and the walkthrough to open. */
const PATIENCE_MS = 20_000;

/** For the focus to be where it stays. */
const SETTLED_MS = 400;

const GUIDE = 'attention-inspector.attention-inspector#start';

/** The walkthrough under the views, beside the text. Where the user has a layout of his own, it only comes in front. */
export async function openGuide({ sample }: Context): Promise<void> {
  const run = vscode.commands.executeCommand;
  await tabs(({ all }) => all.length >= 2);
  if (vscode.window.tabGroups.all.length === 2) {
    const groups = [{ size: 0.5 }, { size: 0.5, groups: [{ size: 0.5 }, { size: 0.5 }] }];
    await run('vscode.setEditorLayout', { orientation: 0, groups });
    await run('workbench.action.focusThirdEditorGroup');
  }
  // The command does not wait for the page that it opens, which would take the focus from the text later.
  await run('workbench.action.openWalkthrough', GUIDE, false);
  await tabs(({ activeTabGroup: { activeTab } }) => !!activeTab && activeTab.input === undefined);
  // Its focus may come even later than its tab.
  for (let tries = 0; tries < 4; tries++) {
    await sample.open();
    await new Promise(resolve => setTimeout(resolve, SETTLED_MS));
    const front = vscode.window.activeTextEditor?.document;
    if (front && sample.isIn(front)) return;
  }
}

/** Waits until the tabs are so, or for long enough. */
function tabs(areSo: (groups: vscode.TabGroups) => boolean): Promise<void> {
  const { tabGroups } = vscode.window;
  return new Promise(resolve => {
    const look = () => {
      if (!areSo(tabGroups)) return;
      clearTimeout(late);
      for (const listener of listeners) listener.dispose();
      resolve();
    };
    const listeners = [tabGroups.onDidChangeTabGroups(look), tabGroups.onDidChangeTabs(look)];
    const late = setTimeout(() => {
      areSo = () => true;
      look();
    }, PATIENCE_MS);
    look();
  });
}

/** Selects the clearest induction head; in the sample, with the cursor on a name that it continues. */
export function findInduction({ store, selection, views, sample }: Context): void {
  const { t } = vscode.l10n;
  const analysis = store.shown;
  if (!analysis?.ready)
    return void tell('information', t('Analyze a text first: then its heads can be chosen.'));
  const scored = analysis.cores.flatMap(({ heads }) =>
    heads.flatMap(({ core, head, roles }) => {
      const score = roles.find(({ role }) => role === 'induction')?.score;
      return score === undefined ? [] : [{ core, head, score }];
    }),
  );
  const [best] = scored.sort((a, b) => b.score - a.score);
  if (!best)
    return void tell('information', t('No head of this model continues on this text what was said before.'));
  const { core, head } = best;
  selection.select({ core, head });
  const name = sample.isIn(analysis.document) ? sample.find(NAME.word, NAME.occurrence) : null;
  if (name) {
    // The token before its last pieces: the one that predicts them.
    const [first, ...rest] = tokensIn(analysis, name);
    selection.select({ token: rest[0] ?? first ?? null });
    revealIn(analysis.document, name);
  }
  views.openPanel('head');
}

/** Shows on the text what a change costs, and goes to the token that pays most: of the word at the cursor, else of all. */
export function showCostliest({ store, selection, views }: Context): void {
  const { t } = vscode.l10n;
  const analysis = store.shown;
  const effect = analysis?.ready?.interventions.result?.effect;
  if (!analysis || !effect)
    return void tell(
      'information',
      t('Take something away first: knock out a head, or block the attention to a word.'),
    );
  selection.select({ change: { kind: 'interventions' } });
  const ahead = effect.measure === 'loss' ? 1 : 0;
  const costOf = (token: number) => effect.perToken[token - ahead] ?? -Infinity;
  const all = [...effect.perToken.keys()].map(at => at + ahead);
  const word = wordAtCursor(analysis);
  const here = word ? tokensIn(analysis, word).filter(token => costOf(token) > 0) : [];
  const costliest = (here.length > 0 ? here : all).reduce(
    (a, b) => (costOf(b) > costOf(a) ? b : a),
    all[0] ?? 0,
  );
  const range = analysis.rangeOfToken(costliest);
  if (range) revealIn(analysis.document, range);
  views.openPanel('text');
}

/** Runs the text on with a local window in every layer, and shows on the text what that forgets. */
export async function askWindow({ client, store, selection, views }: Context): Promise<void> {
  const { t } = vscode.l10n;
  const analysis = store.shown;
  if (!analysis?.ready)
    return void tell(
      'information',
      t('Analyze a text first: then it can be asked what a window would forget.'),
    );
  const info = (await client.start()).mechanisms.find(({ name }) => name === 'local');
  if (!info) return;
  const mechanism = settingOf(info, { window: WINDOW });
  const title = t('The text runs on with a window of {0} tokens', WINDOW);
  try {
    await tellProgress({ title }, (bar, cancel) =>
      fillingWhile(
        bar,
        client,
        ({ id }) => id === analysis.id,
        () =>
          store.request('analysis/mechanism', { id: analysis.id, mechanism, scope: 'propagated' }, cancel),
      ),
    );
  } catch (error) {
    if (error instanceof EngineError && error.cancelled) return;
    throw error;
  }
  selection.select({ change: { kind: 'mechanism', choice: mechanism } });
  views.openPanel('text');
}

/** The hover at the cursor of the shown text, for those who work without a mouse. */
export async function showHover({ store }: Context): Promise<void> {
  const document = store.shown?.document;
  const editor = vscode.window.visibleTextEditors.find(one => one.document === document);
  if (!editor) return;
  await vscode.window.showTextDocument(editor.document, { viewColumn: editor.viewColumn });
  await vscode.commands.executeCommand('editor.action.showHover');
}

function tokensIn(analysis: Analysis, range: vscode.Range): number[] {
  const { document } = analysis;
  return analysis.tokensAt(document.offsetAt(range.start), document.offsetAt(range.end));
}

/** The word at the cursor of the analysed text, if its editor is in sight. */
function wordAtCursor({ document }: Analysis): vscode.Range | undefined {
  const editor = vscode.window.visibleTextEditors.find(one => one.document === document);
  return editor && wordAround(document, editor.selection.active);
}

function revealIn(document: vscode.TextDocument, range: vscode.Range): void {
  const editor = vscode.window.visibleTextEditors.find(one => one.document === document);
  if (!editor) return;
  editor.selection = new vscode.Selection(range.start, range.start);
  editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
}
