import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { showRange, workspaceTexts } from '../../../extension/analysis/workspaceTexts';
import { closeAll } from '../support/session';

const NEVER = new vscode.CancellationTokenSource().token;

describe('texts of the workspace', () => {
  const root = vscode.workspace.workspaceFolders![0]!.uri;
  const made = vscode.Uri.joinPath(root, 'lens');
  const write = (name: string, data: string | Uint8Array) =>
    vscode.workspace.fs.writeFile(
      vscode.Uri.joinPath(made, ...name.split('/')),
      typeof data === 'string' ? new TextEncoder().encode(data) : data,
    );
  const like = vscode.Uri.joinPath(made, 'own.md');

  before(async () => {
    await write('own.md', 'the text itself');
    await write('near.md', 'another text of the same kind');
    await write('far.py', 'print("of another kind")');
    await write('node_modules/left.md', 'left out');
    await write('large.md', 'x'.repeat(200 << 10));
    await write('binary.txt', Uint8Array.of(65, 0, 66));
    await write('empty.md', '');
  });
  after(async () => {
    await closeAll();
    await vscode.workspace.fs.delete(made, { recursive: true });
  });

  it('are those of the same kind first, within bounds, without the text itself', async () => {
    const found = (await workspaceTexts(like, NEVER)).map(d => d.name).filter(n => n.startsWith('lens/'));
    assert.deepEqual(found, ['lens/near.md', 'lens/far.py']);
    const [near] = await workspaceTexts(like, NEVER);
    assert.equal(near?.text, 'another text of the same kind');
  });

  it('are shown at their range, and files outside the workspace are not', async () => {
    const near = vscode.Uri.joinPath(made, 'near.md');
    await showRange(near, 8, 12);
    const shown = vscode.window.visibleTextEditors.find(e => e.document.uri.toString() === near.toString());
    assert.equal(shown?.document.getText(shown.selection), 'text');
    const count = vscode.workspace.textDocuments.length;
    await showRange(vscode.Uri.file('/etc/hostname'), 0, 1);
    assert.equal(vscode.workspace.textDocuments.length, count);
  });
});
