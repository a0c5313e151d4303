import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import { sidesOf, type Intervention, type Side } from '../../shared/protocol/engine';
import type { Intervener } from '../../shared/host/intervener';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { wordAround } from '../editor/hover';
import { describeHeads } from './interventionText';
import { pickHead } from '../workbench/pickers';
import type { SelectionModel } from '../views/selectionModel';
import { tell } from '../workbench/tell';

interface Context {
  store: AnalysisStore;
  selection: SelectionModel;
  intervener: Intervener;
}

interface Passage {
  from: number;
  to: number;
}

/** Which heads, and whether only the pinned token's look is meant. */
interface Scope {
  core: number | null;
  head: number | null;
  queries: Passage | null;
}

type ScopeItem = vscode.QuickPickItem & Scope;

/**
 * Hides the keys of the selected text (or of the word at the cursor) from all heads or from the selected one, from all
 * tokens or from the pinned one; what is hidden already is shown again.
 */
export async function blockSelection(context: Context): Promise<void> {
  const { t } = vscode.l10n;
  const editor = vscode.window.activeTextEditor;
  const found = editor && selectedTokens(context.store, editor);
  if (!found) {
    void tell(
      'information',
      t('Select text of a finished analysis first: then attention to it can be blocked.'),
    );
    return;
  }
  const { analysis, side, passages } = found;
  if (passages.length === 0) {
    void tell('information', t('The model has no tokens there, or the text has changed since the analysis.'));
    return;
  }
  const isOn = (one: Intervention, { from, to }: Passage) =>
    one.kind === 'span' && one.from === from && one.to === to && (one.side ?? 'text') === side;
  const list = analysis.ready?.interventions.list ?? [];
  const hidden = passages.flatMap(passage => list.filter(one => isOn(one, passage)));
  if (hidden.length > 0) return context.intervener.toggle(...hidden);
  const scope = await pickScope(context.selection, analysis, side);
  if (!scope) return;
  const spans = passages.map((passage): Intervention => ({
    kind: 'span',
    core: scope.core,
    head: scope.head,
    ...passage,
    queries: scope.queries,
    ...(side === 'target' ? { side } : {}),
  }));
  await context.intervener.toggle(...spans);
}

/** Sets the selected head's output to zero, or gives it back. */
export async function knockOutHead({ store, selection, intervener }: Context): Promise<void> {
  if (!store.shown?.ready) {
    void tell('information', vscode.l10n.t('Analyze a text first: then its heads can be knocked out.'));
    return;
  }
  // What nobody has chosen is not taken away unasked.
  if (selection.current.head === null || selection.isGiven) {
    if (!(await pickHead(store, selection))) return;
  }
  const { core, head } = selection.current;
  if (core === null || head === null) return;
  await intervener.toggle({ kind: 'head', core, head });
}

/** The shown analysis that an editor's text belongs to, and the tokens that are selected there. */
function selectedTokens(
  store: AnalysisStore,
  { document, selections }: vscode.TextEditor,
): { analysis: Analysis; side: Side; passages: Passage[] } | null {
  const own = store.of(document);
  const analysis = own?.ready ? own : store.ofTarget(document);
  if (!analysis?.ready || analysis !== store.shown) return null;
  const side = analysis === own ? 'text' : 'target';
  const passages = selections.flatMap(selection => {
    const range = selection.isEmpty ? wordAround(document, selection.active) : selection;
    if (!range) return [];
    const [start, end] = [document.offsetAt(range.start), document.offsetAt(range.end)];
    const tokens =
      side === 'text'
        ? analysis.tokensAt(start, end)
        : (analysis.target?.tokensAt(analysis.targetTokens!, start, end) ?? []);
    const first = tokens[0];
    return first === undefined ? [] : [{ from: first, to: tokens[tokens.length - 1]! + 1 }];
  });
  return { analysis, side, passages };
}

/** Asks only when it is not clear which heads and tokens are meant. */
async function pickScope(
  { current, isGiven }: SelectionModel,
  analysis: Analysis,
  side: Side,
): Promise<Scope | undefined> {
  const { t } = vscode.l10n;
  const cores = analysis.began?.model.cores ?? [];
  const { core, head, token } = current;
  const info = cores.find(one => one.core === core);
  const sides = info ? sidesOf(info.kind) : { queries: side, keys: side };
  const all = { core: null, head: null, queries: null };
  const places: Omit<Scope, 'queries'>[] = [all];
  if (core !== null && !isGiven && sides.keys === side) {
    if (head !== null) places.push({ core, head });
    places.push({ core, head: null });
  }
  // A pinned token is one of the analysed text.
  const pinned = token === null ? null : { from: token, to: token + 1 };
  const items = [null, pinned].flatMap((queries, at) =>
    places.flatMap((place): ScopeItem[] => {
      if (at > 0 && !queries) return [];
      if (queries && (place.core === null ? side : sides.queries) !== 'text') return [];
      const name = foreign(analysis.began?.tokens.text[token ?? -1] ?? '').trim();
      const description = queries ? t('only from the pinned “{0}” ({1})', name, token!) : undefined;
      return [{ label: sentenceCase(describeHeads(place, cores, t)), description, ...place, queries }];
    }),
  );
  if (items.length === 1) return all;
  return vscode.window.showQuickPick(items, { title: t('Block attention to the selection in') });
}

const sentenceCase = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
