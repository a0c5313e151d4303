import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import {
  analyze,
  api,
  closeAll,
  hoverAt,
  ID,
  openText,
  pickOtherText,
  withSettings,
} from '../support/session';

describe('target text of an encoder-decoder', () => {
  afterEach(closeAll);

  it('is a second document, and what becomes of it is told', async function () {
    const { extensionPath } = vscode.extensions.getExtension(ID)!;
    const model = join(extensionPath, '..', 'shared', 'fixtures', 'models', 't5-eager-script');
    if (!existsSync(model)) {
      console.log('SKIPPED: the fixture models are not there; no encoder-decoder was analyzed.');
      this.skip();
    }
    const words = readFileSync(join(model, 'text.txt'), 'utf8').split(/\s+/);
    const target = await openText(words.slice(20, 32).join(' '));
    const source = await openText(words.slice(0, 20).join(' '));
    await withSettings({ model, mechanisms: [] }, async () => {
      await pickOtherText();

      // This export feeds its decoder from its one input: the given text is not read, and that is said.
      const { summary } = await analyze(source);
      assert.equal(summary.model.kind, 'encoder-decoder');
      assert.equal(summary.target?.source, 'text');
      assert.ok(summary.notes.some(note => /stands in for the target text/.test(note)));
      assert.equal(await hoverAt(target.document, 2), undefined);
      assert.ok(await hoverAt(source.document, 2));

      const edit = new vscode.WorkspaceEdit();
      edit.insert(target.document.uri, new vscode.Position(0, 0), 'More ');
      await vscode.workspace.applyEdit(edit);
      const state = (await api()).getState(source.document.uri);
      assert.ok(state.status === 'ready' && !state.stale, 'a text that was not read makes nothing stale');
      await vscode.window.showTextDocument(target.document);
      await target.document.save();
      await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
      const alone = await analyze(await vscode.window.showTextDocument(source.document));
      assert.ok(alone.summary.notes.some(note => /target text .* was closed/.test(note)));
      const again = await analyze(await vscode.window.showTextDocument(source.document));
      assert.ok(!again.summary.notes.some(note => /was closed/.test(note)), 'told once');
    });
  });
});
