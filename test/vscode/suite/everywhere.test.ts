import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { analyze, api, closeAll, openText, run, until, withSettings, type Ready } from '../support/session';

const TEXT = 'Eleanor Whitcombe kept the lamp. The keeper wrote to Eleanor Whitcombe again.\n';

const hintsOf = (document: vscode.TextDocument) =>
  vscode.commands.executeCommand<vscode.InlayHint[]>(
    'vscode.executeInlayHintProvider',
    document.uri,
    new vscode.Range(0, 0, document.lineCount, 0),
  );

describe('everywhere in the editor', () => {
  afterEach(closeAll);

  it('writes behind the costliest tokens what they cost, when it is asked to', async () => {
    const editor = await openText(TEXT);
    const { summary } = await analyze(editor);
    const { document } = editor;
    assert.deepEqual(await hintsOf(document), []);
    await withSettings({ 'costHints.enabled': true }, async () => {
      const hints = await until('the hints', async () => {
        const found = await hintsOf(document);
        return found.length > 0 && found;
      });
      const { tokens, loss } = summary;
      const worst =
        [...loss!.perToken.keys()].sort((a, b) => loss!.perToken[b]! - loss!.perToken[a]!)[0]! + 1;
      const there = hints.find(({ position }) => document.offsetAt(position) === tokens.end[worst]);
      assert.ok(there, `a hint behind token ${worst}`);
      assert.equal(
        there.label,
        `${loss!.perToken[worst - 1]!.toPrecision(3)} nats`.replace(/\.?0+(?= nats)/, ''),
      );
      assert.ok(hints.length <= 12);
    });
  });

  it('analyzes a cell of a notebook, and calls it by its notebook', async () => {
    const cells = [
      new vscode.NotebookCellData(vscode.NotebookCellKind.Markup, '# A story', 'markdown'),
      new vscode.NotebookCellData(vscode.NotebookCellKind.Code, 'print("The cat sat on the mat.")', 'python'),
    ];
    const notebook = await vscode.workspace.openNotebookDocument(
      'jupyter-notebook',
      new vscode.NotebookData(cells),
    );
    await vscode.window.showNotebookDocument(notebook);
    const cell = notebook.cellAt(1);
    await run('analyze', cell);
    const state = (await api()).getState(cell.document.uri);
    assert.equal(state.status, 'ready');
    assert.match((state as Ready).document.name, /^Untitled-\d+(\.ipynb)?, cell 2$/);
  });

  it('offers the search of a plan again that the window interrupted, and has lost nothing else', async () => {
    const inspector = await api();
    const editor = await openText(TEXT.repeat(12));
    const { uri } = editor.document;
    const { summary } = await analyze(editor);
    await run('pinToken', uri.toString(), 5);
    void run('findPlan', 0.2);
    await until('the search', () => {
      const state = inspector.getState(uri);
      return state.status === 'ready' && state.planning;
    });
    await new Promise(resolve => setTimeout(resolve, 1500)); // longer than the pause after which it is written
    // The editor forgets as it does when the window is closed: the search ends, what was kept stays.
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('the end', () => inspector.getState(uri).status === 'none');
    await vscode.commands.executeCommand('vscode.open', uri);
    const state = await until('what was kept', () => {
      const now = inspector.getState(uri);
      return now.status === 'ready' && now;
    });
    assert.equal(state.planning?.budget, 0.2);
    assert.match(state.planning?.error ?? '', /Find the plan again/);
    assert.deepEqual(state.summary.cores, summary.cores);
    assert.equal(inspector.getSelection().token, 5);
  }).timeout(120_000);
});
