import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const nothing = { dispose: () => undefined };
const never = () => nothing;

/** The panel over a window; `editors` are the texts in sight, the first one shown by the views. */
async function open(editors: { viewColumn: number }[] = []) {
  const closed = new Emitter<void>();
  const changes = new Emitter<unknown>();
  const shown = editors[0] && { document: editors[0], documentInfo: { name: 'a.txt' } };
  const placed: unknown[] = [];
  const tab = {
    title: 'Attention',
    visible: true,
    viewColumn: 1,
    onDidDispose: closed.event,
    reveal: (column: unknown) => placed.push(column),
    webview: { onDidReceiveMessage: never, asWebviewUri: String, cspSource: '', postMessage: never },
  };
  const world = new EditorWorld().module;
  const window = {
    ...world.window,
    activeTextEditor: undefined,
    visibleTextEditors: editors.map(editor => ({ ...editor, document: editor })),
    registerWebviewViewProvider: never,
    registerWebviewPanelSerializer: never,
    createWebviewPanel: (_type: string, _title: string, place: { viewColumn: unknown }) => {
      placed.push(place.viewColumn);
      return tab;
    },
  };
  const { Views } = await withVscode(
    { ...world, window, ViewColumn: { Active: -1, Beside: -2 } },
    () => import('../../extension/views/views'),
  );
  const asked: object[] = [];
  const selection = { onChange: never, onPreview: never, select: (change: object) => asked.push(change) };
  const parts = {
    selection,
    store: { shown, others: [], onChange: changes.event, onUpdate: never, onOthers: never },
    client: { on: never, onState: never },
    front: { onUnanalysed: never, editor: undefined },
    corpora: { onChange: never },
  };
  return { views: new Views('extension:' as never, parts as never), tab, closed, asked, placed };
}

describe('extension: the panel', () => {
  it('takes along, when it is closed, what its views marked in the editor', async () => {
    const { views, closed, asked } = await open();
    views.openPanel();
    assert.deepEqual(asked, []);
    closed.fire();
    assert.deepEqual(asked, [{ change: null }]);
  });

  it('opens beside the text that it is about, and never comes over it; its title names the text', async () => {
    const { views, tab, placed } = await open([{ viewColumn: 1 }]);
    views.openPanel();
    assert.equal(tab.title, 'Attention: a.txt');
    views.openPanel();
    tab.visible = false; // behind the text, in its group
    views.openPanel();
    assert.deepEqual(placed, [2, undefined, 2]);
  });

  it('opens where the user is when no text is in sight', async () => {
    const { views, placed } = await open();
    views.openPanel();
    assert.deepEqual(placed, [-1]);
  });
});
