import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { analyze, closeAll, ID, openText, run, until } from '../support/session';

interface Manifest {
  keybindings: { key: string; mac: string; command: string }[];
  configuration: { properties: Record<string, { default: unknown }> };
}
const contributes = () => vscode.extensions.getExtension(ID)!.packageJSON.contributes as Manifest;

/** Tabs of our panel. */
function panels(): vscode.Tab[] {
  return vscode.window.tabGroups.all
    .flatMap(group => group.tabs)
    .filter(
      tab =>
        tab.input instanceof vscode.TabInputWebview &&
        tab.input.viewType.endsWith('attentionInspector.panel'),
    );
}

describe('workbench', () => {
  afterEach(closeAll);

  it('has key bindings that shadow none of the defaults', async () => {
    const document = await vscode.workspace.openTextDocument(
      vscode.Uri.parse('vscode://defaultsettings/keybindings.json'),
    );
    const defaults = document.getText();
    assert.ok(defaults.includes('"ctrl+k ctrl+s"'), 'the defaults are there to compare with');
    for (const { key, command } of contributes().keybindings) {
      const lines = defaults.split('\n').filter(line => line.includes(`"${key}"`) && !line.includes(command));
      assert.deepEqual(lines, [], `${key} of ${command}`);
    }
  });

  it('reads every setting with the default of package.json', () => {
    const configuration = vscode.workspace.getConfiguration();
    for (const [key, { default: expected }] of Object.entries(contributes().configuration.properties))
      assert.deepEqual(configuration.get(key), expected, key);
  });

  it('opens one panel, and brings it back to the front', async () => {
    await analyze(await openText('The cat sat on the mat.'));
    await run('showSpans');
    await until('the panel', () => panels().length === 1);
    await run('showBuckets');
    await run('openPanel');
    await new Promise(resolve => setTimeout(resolve, 500)); // a second one would be there by now
    assert.equal(panels().length, 1);
  });

  it('opens an .onnx file as a model', async () => {
    const { extensionUri } = vscode.extensions.getExtension(ID)!;
    const model = vscode.Uri.joinPath(extensionUri, 'engine', 'bundled', 'prose-2m', 'onnx', 'model.onnx');
    await vscode.commands.executeCommand('vscode.open', model);
    await until('the editor of models', () => {
      const { input } = vscode.window.tabGroups.activeTabGroup.activeTab ?? {};
      return input instanceof vscode.TabInputCustom && input.viewType === 'attentionInspector.model';
    });
  });

  it('starts the analysis that a view needs', async () => {
    const editor = await openText('The cat sat on the mat.');
    await run('compareMechanisms');
    await until('the panel', () => panels().length === 1);
    const inspector = vscode.extensions.getExtension(ID)!.exports;
    assert.equal(inspector.getState(editor.document.uri).status, 'ready');
  });
});
