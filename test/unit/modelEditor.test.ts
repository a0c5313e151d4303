import assert from 'node:assert/strict';
import type { Uri, WebviewPanel } from 'vscode';
import type { EngineClient } from '../../extension/engine/engineClient';
import { withVscode } from '../fixtures/fakeVscode';

class Source {
  private readonly listeners: (() => void)[] = [];
  readonly token = {
    isCancellationRequested: false,
    onCancellationRequested: (listener: () => void) => this.listeners.push(listener),
  };
  cancel(): void {
    this.token.isCancellationRequested = true;
    for (const listener of this.listeners) listener();
  }
}

async function opened({ isTrusted = true, scheme = 'file' } = {}) {
  const asked: { method: string; params: unknown; token: Source['token'] }[] = [];
  let answer = (_: unknown) => undefined as void;
  const client = {
    request: (method: string, params: unknown, token: Source['token']) => {
      asked.push({ method, params, token });
      return new Promise(resolve => (answer = resolve));
    },
  };
  const told = { trust: () => undefined as void, close: () => undefined as void };
  const workspace = {
    isTrusted,
    onDidGrantWorkspaceTrust: (listener: () => void) => (told.trust = listener),
  };
  const module = {
    workspace,
    env: { language: 'en' },
    l10n: { t: (message: string) => message },
    CancellationTokenSource: Source,
  };
  const panel = {
    webview: { html: '', cspSource: 'x:', options: {} as Record<string, unknown> },
    onDidDispose: (listener: () => void) => (told.close = listener),
  };
  await withVscode(module, async () => {
    const { ModelEditor } = await import('../../extension/views/modelEditor');
    const uri = { scheme, path: '/models/tiny.onnx', fsPath: '/models/tiny.onnx' } as Uri;
    const editor = new ModelEditor(client as unknown as EngineClient);
    editor.resolveCustomEditor({ uri, dispose: () => undefined }, panel as unknown as WebviewPanel);
  });
  return { asked, panel, told, answer: (value: unknown) => answer(value) };
}

const settle = () => new Promise(resolve => setImmediate(resolve));

describe('extension: editor of .onnx files', () => {
  it('looks at the model without scripts on its page, and offers to use what can be used', async () => {
    const { asked, panel, answer } = await opened();
    assert.deepEqual(
      asked.map(({ method, params }) => [method, params]),
      [['models/inspect', { ref: '/models/tiny.onnx' }]],
    );
    assert.equal(panel.webview.options.enableScripts, false);
    assert.match(panel.webview.html, /is read/);
    answer({ facts: null, info: null, refused: 'It is no model.' });
    await settle();
    assert.match(panel.webview.html, /It is no model\./);
    assert.doesNotMatch(panel.webview.html, /command:/);
  });

  it('reads nothing in Restricted Mode, and goes on when the workspace is trusted', async () => {
    const { asked, panel, told } = await opened({ isTrusted: false });
    assert.deepEqual(asked, []);
    assert.match(panel.webview.html, /only in a trusted workspace/);
    assert.match(panel.webview.html, /command:workbench\.trust\.manage/);
    told.trust();
    assert.equal(asked.length, 1);
  });

  it('stops when its tab is closed, and reads nothing that is not on the disk', async () => {
    const { asked, panel, told, answer } = await opened();
    told.close();
    assert.equal(asked[0]!.token.isCancellationRequested, true);
    const { html } = panel.webview;
    answer({ facts: null, info: null, refused: 'Too late.' });
    await settle();
    assert.equal(panel.webview.html, html);
    const remote = await opened({ scheme: 'vscode-vfs' });
    assert.deepEqual(remote.asked, []);
  });
});
