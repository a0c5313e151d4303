import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const nothing = { dispose: () => undefined };
const never = () => nothing;

describe('extension: the panel', () => {
  it('takes along, when it is closed, what its views marked in the editor', async () => {
    const closed = new Emitter<void>();
    const tab = {
      title: 'Attention',
      onDidDispose: closed.event,
      webview: { onDidReceiveMessage: never, asWebviewUri: String, cspSource: '', postMessage: never },
    };
    const world = new EditorWorld().module;
    const window = {
      ...world.window,
      activeTextEditor: undefined,
      registerWebviewViewProvider: never,
      registerWebviewPanelSerializer: never,
      createWebviewPanel: () => tab,
    };
    const ViewColumn = { Active: -1, Beside: -2 };
    const { Views } = await withVscode(
      { ...world, window, ViewColumn },
      () => import('../../extension/views/views'),
    );
    const asked: object[] = [];
    const selection = { onChange: never, onPreview: never, select: (change: object) => asked.push(change) };
    const parts = {
      selection,
      store: { onChange: never, onUpdate: never },
      client: { on: never, onState: never },
    };
    const views = new Views('extension:' as never, parts as never);
    views.openPanel();
    assert.deepEqual(asked, []);
    closed.fire();
    assert.deepEqual(asked, [{ change: null }]);
  });
});
