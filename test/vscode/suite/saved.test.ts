import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { uncompressed } from '../../../extension/analysis/savedBytes';
import { readSavedFile } from '../../../shared/saved/analysis';
import { analyze, api, closeAll, openText, run, saysOf, until, type Ready } from '../support/session';

const SENTENCE = 'The cat sat on the mat. The cat sat on the mat again, and then it slept.\n';

describe('kept analyses', () => {
  afterEach(closeAll);

  it('of a text that is opened again are there at once, with interventions and selection, and are asked on', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE.repeat(3));
    const { uri } = editor.document;
    const { id } = await analyze(editor);
    const state = () => inspector.getState(uri) as Ready;
    editor.selection = new vscode.Selection(0, 4, 0, 7);
    await run('blockSelection');
    await run('pinToken', uri.toString(), 5);
    const { core, head } = inspector.getSelection();
    await until('the run without it', () => state().interventions.result);
    const before = state();
    // Longer than the pause after which it is written.
    await new Promise(resolve => setTimeout(resolve, 1500));
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('the end of the analysis', () => inspector.getState(uri).status === 'none');

    await vscode.commands.executeCommand('vscode.open', uri);
    const after = await until('what was kept', () => {
      const now = inspector.getState(uri);
      return now.status === 'ready' && now;
    });
    assert.notEqual(after.id, id);
    assert.deepEqual(after.interventions, before.interventions);
    assert.deepEqual(after.summary, { ...before.summary, id: after.id });
    const selection = inspector.getSelection();
    assert.deepEqual([selection.core, selection.head, selection.token], [core, head, 5]);
    await saysOf(vscode.window.activeTextEditor!.document, 4, 'cat');
    assert.equal(state().id, after.id, 'the engine read it again, and nothing else changed');
    await run('clearInterventions');
  });

  it('stay with a file that is renamed, and with an untitled text that is saved', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE);
    const { summary } = await analyze(editor);
    const { uri } = editor.document;
    const renamed = vscode.Uri.joinPath(uri, '..', 'renamed.txt');
    const edit = new vscode.WorkspaceEdit();
    edit.renameFile(uri, renamed);
    await vscode.workspace.applyEdit(edit);
    const moved = await until('the results under the new name', () => {
      const state = inspector.getState(renamed);
      return state.status === 'ready' && state;
    });
    assert.deepEqual(moved.summary.loss, summary.loss);
    assert.equal(moved.document.uri, renamed.toString());
    assert.equal(inspector.getState(uri).status, 'none');

    const text = `${SENTENCE}It was never saved.\n`;
    const untitled = await vscode.workspace.openTextDocument({ content: text });
    const found = await analyze(await vscode.window.showTextDocument(untitled));
    const saved = await openText(text);
    const kept = await until('the results of the saved text', () => {
      const state = inspector.getState(saved.document.uri);
      return state.status === 'ready' && state;
    });
    assert.deepEqual(kept.summary.loss, found.summary.loss);
    await vscode.window.showTextDocument(untitled);
    await vscode.commands.executeCommand('workbench.action.revertAndCloseActiveEditor');
  });

  it('are saved as a file that opens without the model', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE.repeat(2));
    const { summary } = await analyze(editor);
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const target = vscode.Uri.joinPath(folder, 'saved.attention');
    await run('saveAnalysis', target);
    const file = readSavedFile(await uncompressed(await vscode.workspace.fs.readFile(target)));
    assert.deepEqual(file.summary, summary);
    assert.equal(file.text, SENTENCE.repeat(2));
    assert.deepEqual(file.selection, inspector.getSelection());
    assert.equal(file.details.cores.length, summary.cores.length);

    await vscode.commands.executeCommand('vscode.open', target);
    await until('its own editor', () => {
      const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
      return input instanceof vscode.TabInputCustom && input.viewType === 'attentionInspector.saved';
    });
  });

  it('are gone for good after Clear Results, and are not taken for those of another text', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE);
    const { uri } = editor.document;
    await analyze(editor);
    await new Promise(resolve => setTimeout(resolve, 1500));
    await run('clear');
    const other = await openText('Now is another text in front.\n');
    await analyze(other);
    await new Promise(resolve => setTimeout(resolve, 1500));
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.workspace.fs.writeFile(other.document.uri, Buffer.from('It is no longer what it was.\n'));
    for (const each of [uri, other.document.uri]) {
      await vscode.commands.executeCommand('vscode.open', each);
      await new Promise(resolve => setTimeout(resolve, 1000));
      assert.equal(inspector.getState(each).status, 'none');
    }
  });
});
