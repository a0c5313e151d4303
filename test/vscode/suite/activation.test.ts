import assert from 'node:assert/strict';
import * as vscode from 'vscode';

const ID = 'attention-inspector.attention-inspector';

describe('activation', () => {
  it('activates in the extension host', async () => {
    const extension = vscode.extensions.getExtension(ID);
    assert.ok(extension, `${ID} is installed`);
    await extension.activate();
    assert.equal(extension.isActive, true);
  });

  it('registers every command of package.json', async () => {
    const contributed: { command: string }[] =
      vscode.extensions.getExtension(ID)!.packageJSON.contributes.commands;
    assert.ok(contributed.length > 0);
    const registered = new Set(await vscode.commands.getCommands(true));
    const missing = contributed.map(each => each.command).filter(command => !registered.has(command));
    assert.deepEqual(missing, []);
  });
});
