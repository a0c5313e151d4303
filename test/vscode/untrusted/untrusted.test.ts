import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { api, closeAll, hoverAt, ID, openText, run } from '../support/session';

/** The folder has settings and a model of its own (`workspace`). */
describe('a workspace that is not trusted', () => {
  afterEach(closeAll);

  const properties = () => {
    const { contributes } = vscode.extensions.getExtension(ID)!.packageJSON as {
      contributes: { configuration: { properties: Record<string, { default: unknown }> } };
    };
    return Object.entries(contributes.configuration.properties);
  };

  it('has none of its settings obeyed', async () => {
    assert.equal(vscode.workspace.isTrusted, false);
    await api();
    const settings = vscode.workspace.getConfiguration();
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const written = Buffer.from(
      await vscode.workspace.fs.readFile(vscode.Uri.joinPath(folder, '.vscode', 'settings.json')),
    ).toString();
    for (const [name, { default: value }] of properties()) {
      assert.ok(written.includes(`"${name}"`), `the folder sets ${name}`);
      assert.deepEqual(settings.get(name), value, name);
    }
  });

  it('gets no engine, by whatever command, and the user a message with a way to manage trust', async () => {
    const inspector = await api();
    const editor = await openText('The cat sat on the mat.\n');
    const commands: [string, ...unknown[]][] = [
      ['analyze'],
      ['analyzeSelection'],
      ['trySample'],
      ['compareMechanisms'],
      ['selectModel', './evil'],
      ['restartEngine'],
      ['showSpans'],
      ['showBuckets'],
      ['profileFolder', vscode.workspace.workspaceFolders![0]!.uri],
      ['openPanel'],
    ];
    for (const [command, ...args] of commands) {
      // What asks something first waits for an answer: it must not have started anything meanwhile.
      await Promise.race([run(command, ...args), new Promise(resolve => setTimeout(resolve, 1000))]);
      await vscode.commands.executeCommand('workbench.action.closeQuickOpen');
      assert.equal(inspector.engineProcessId(), undefined, command);
    }
    const state = inspector.getState();
    assert.equal(state.status, 'error');
    assert.match(state.status === 'error' ? state.message : '', /only in a trusted workspace\.$/);
    assert.deepEqual(state.status === 'error' && state.actions, ['manageTrust']);
    assert.equal(inspector.getState(editor.document.uri).status, 'none');
    assert.equal(await hoverAt(editor.document, 4), undefined);
  });

  it('has its .onnx files shown, not read', async () => {
    const inspector = await api();
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    await vscode.commands.executeCommand('vscode.open', vscode.Uri.joinPath(folder, 'evil', 'model.onnx'));
    await new Promise(resolve => setTimeout(resolve, 1000));
    assert.equal(inspector.engineProcessId(), undefined);
  });
});
