import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import {
  analyze,
  api,
  closeAll,
  hoverAt,
  openText,
  run,
  until,
  withSettings,
  saysOf,
} from '../support/session';

const TEXT = 'The first words stay.\nThe middle words change.\nThe last words stay too.\n';

async function isStale(editor: vscode.TextEditor): Promise<boolean> {
  const state = (await api()).getState(editor.document.uri);
  assert.equal(state.status, 'ready');
  return state.status === 'ready' && state.stale;
}

describe('an edited document', () => {
  afterEach(closeAll);

  it('has stale results; what lies outside of the edit keeps its hover', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    await editor.edit(edit => edit.insert(new vscode.Position(1, 4), 'brand-new '));
    assert.equal(await isStale(editor), true);
    const { document } = editor;
    const text = document.getText();
    await saysOf(document, text.indexOf('first'), 'first');
    const last = await hoverAt(document, text.indexOf('last'));
    assert.match(last!.text, /has changed/);
    assert.equal(document.getText(last!.range), 'last');
    assert.equal(await hoverAt(document, text.indexOf('brand')), undefined);
  });

  it('has fresh results again once the edit is undone', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    await editor.edit(edit => edit.insert(new vscode.Position(0, 0), 'x'));
    assert.equal(await isStale(editor), true);
    await vscode.commands.executeCommand('undo');
    await until('fresh results', async () => !(await isStale(editor)));
    await saysOf(editor.document, TEXT.indexOf('middle'), 'middle');
  });

  it('knows no place when the ends of its lines change', async () => {
    const editor = await openText(TEXT);
    await analyze(editor);
    await editor.edit(edit => edit.setEndOfLine(vscode.EndOfLine.CRLF));
    await until('stale results', () => isStale(editor));
  });

  it('is analyzed again after a pause, if that is wanted', async () => {
    const editor = await openText(TEXT);
    const inspector = await api();
    const { id } = await analyze(editor);
    await withSettings({ reanalyzeOnEdit: true, reanalyzeDelay: 200 }, async () => {
      await editor.edit(edit => edit.insert(new vscode.Position(1, 4), 'zebra '));
      await inspector.whenIdle();
      const state = inspector.getState(editor.document.uri);
      assert.equal(state.status, 'ready');
      if (state.status !== 'ready') return;
      assert.notEqual(state.id, id);
      assert.equal(state.stale, false);
      const zebra = editor.document.getText().indexOf('zebra');
      assert.ok(await hoverAt(editor.document, zebra));
    });
  });

  it('keeps the pin on its word when it is analyzed again', async () => {
    const inspector = await api();
    const editor = await openText(TEXT);
    await analyze(editor);
    const { document } = editor;
    const at = document.positionAt(TEXT.indexOf('last'));
    editor.selection = new vscode.Selection(at, at);
    await run('pinToken');
    const before = inspector.getSelection().token!;
    await editor.edit(edit => edit.insert(new vscode.Position(0, 0), 'Some more words in front. '));
    const { summary } = await analyze(editor);
    const after = inspector.getSelection().token;
    assert.ok(after !== null && after > before);
    assert.equal(document.getText().indexOf('last') < summary.tokens.end[after]!, true);
    assert.equal(document.getText().indexOf('last') >= summary.tokens.start[after]!, true);
    await analyze(await openText('Another text.'));
    assert.equal(inspector.getSelection().token, null, 'a pin belongs to one text');
  });

  it('is left alone if it is not', async () => {
    const editor = await openText(TEXT);
    const { id } = await analyze(editor);
    await editor.edit(edit => edit.insert(new vscode.Position(0, 0), 'x'));
    await (await api()).whenIdle();
    const state = (await api()).getState(editor.document.uri);
    assert.equal(state.status === 'ready' && state.id, id);
  });
});
