import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { analyze, api, closeAll, hoverAt, ID, openText, run, until, withSettings } from '../support/session';

describe('the first minute', () => {
  afterEach(closeAll);

  it('tries the sample: opens it, analyzes it, and comes back to it', async () => {
    await run('trySample');
    const inspector = await api();
    const { document: sample } = await until('the sample in front', () => vscode.window.activeTextEditor);
    assert.equal(sample.isUntitled, true);
    assert.equal(inspector.getState(sample.uri).status, 'ready');
    const { core, head } = inspector.getSelection();
    assert.ok(core !== null && head !== null, 'a head is selected from the first moment');
    const hover = await hoverAt(sample, sample.getText().indexOf('nineteen'));
    assert.match(hover!.text, new RegExp(`layer ${core}, head ${head}`));
    await openText('Another text.');
    await run('trySample');
    await until('the sample in front again', () => vscode.window.activeTextEditor?.document === sample);
  });

  it('analyzes the text behind the tab that is in front', async () => {
    const { document } = await openText('The cat sat on the mat.');
    await vscode.commands.executeCommand('workbench.action.openSettings');
    assert.equal(vscode.window.visibleTextEditors.length, 0);
    await run('analyze');
    assert.equal((await api()).getState(document.uri).status, 'ready');
  });

  it('takes a model folder of the workspace by its bare name', async () => {
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const { extensionUri } = vscode.extensions.getExtension(ID)!;
    const bundled = vscode.Uri.joinPath(extensionUri, 'engine', 'bundled', 'prose-2m');
    const copy = vscode.Uri.joinPath(folder, 'bert');
    await vscode.workspace.fs.copy(bundled, copy, { overwrite: true });
    try {
      await withSettings({ model: 'bert' }, async () => {
        const { summary } = await analyze(await openText('The cat sat on the mat.'));
        assert.equal(summary.model.name, 'bert');
      });
    } finally {
      await vscode.workspace.fs.delete(copy, { recursive: true });
    }
  });
});
