import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { AnalysisState, Interventions } from '../../../shared/protocol/host';
import { analyze, api, closeAll, openText, run, until } from '../support/session';

const TEXT = 'The keeper is called Eleanor.\nIn the morning the keeper, who is called Eleanor, went up.\n';

/** The interventions on a text, once they have been run. */
async function settledOn(
  editor: vscode.TextEditor,
  count: number,
  accept: (state: Extract<AnalysisState, { status: 'ready' }>) => boolean = () => true,
): Promise<Interventions> {
  const inspector = await api();
  return until(`${count} interventions`, () => {
    const state = inspector.getState(editor.document.uri);
    if (state.status !== 'ready' || !accept(state)) return null;
    const { list, result, running } = state.interventions;
    return list.length === count && running === null && (count === 0 || result) ? state.interventions : null;
  });
}

function select(editor: vscode.TextEditor, words: string, from = 0): void {
  const { document } = editor;
  const start = document.getText().indexOf(words, from);
  editor.selection = new vscode.Selection(
    document.positionAt(start),
    document.positionAt(start + words.length),
  );
}

/** The tokens of the span that is taken away. */
function passage({ list }: Interventions): string {
  const [one] = list;
  assert.ok(one?.kind === 'span');
  return `${one.from}-${one.to}`;
}

describe('attention that is taken away', () => {
  afterEach(closeAll);

  it('is blocked to the selection, told with its cost, and given back by the same command', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    select(editor, 'Eleanor');
    await run('blockSelection');
    const { list, result } = await settledOn(editor, 1);
    assert.equal(list[0]!.kind, 'span');
    assert.ok(result && result.effect.measure === 'loss' && result.effect.delta !== 0);
    assert.deepEqual((await api()).getSelection().change, { kind: 'interventions' });
    await run('blockSelection');
    await settledOn(editor, 0);
    assert.equal((await api()).getSelection().change, null);
  });

  it('is a head that is knocked out, undone and cleared', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    const knocking = run('knockOutHead');
    // Nobody has chosen a head: the list asks which one. It stands on the head that is shown.
    const { core, head } = (await api()).getSelection();
    await new Promise(resolve => setTimeout(resolve, 500));
    await vscode.commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem');
    await knocking;
    const { list, result } = await settledOn(editor, 1);
    assert.deepEqual(list, [{ kind: 'head', core, head }]);
    assert.notEqual(result!.effect.delta, 0);
    await run('undoIntervention');
    await settledOn(editor, 0);
    await run('knockOutHead');
    await settledOn(editor, 1);
    await run('clearInterventions');
    await settledOn(editor, 0);
    await run('clear');
  });

  it('goes with its text through an edit and a new analysis, and survives the engine', async () => {
    const inspector = await api();
    await run('restartEngine'); // forgets the deaths so far
    const editor = await openText(TEXT);
    const { id } = await analyze(editor);
    select(editor, 'Eleanor');
    await run('blockSelection');
    const before = passage(await settledOn(editor, 1));
    process.kill(inspector.engineProcessId()!, 'SIGKILL');
    const revived = await settledOn(editor, 1, state => state.id !== id);
    assert.equal(passage(revived), before);

    await editor.edit(edit => edit.insert(new vscode.Position(0, 0), 'Once more with feeling. '));
    await analyze(editor);
    const after = await settledOn(editor, 1);
    assert.notEqual(passage(after), before);
    assert.equal(after.notice, null);

    await editor.edit(edit => edit.replace(new vscode.Range(0, 0, 0, 54), 'All of it is new'));
    await analyze(editor);
    const lost = await settledOn(editor, 0, state => state.interventions.notice !== null);
    assert.match(lost.notice!, /^1 of 1 interventions were on text that has changed/);
  });

  it('on the text view: opens and shows it', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    await run('showText');
    await until('the panel', () =>
      vscode.window.tabGroups.all.some(({ tabs }) =>
        tabs.some(
          ({ input }) => input instanceof vscode.TabInputWebview && /attentionInspector/.test(input.viewType),
        ),
      ),
    );
  });
});
