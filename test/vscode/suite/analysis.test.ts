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

const SENTENCE = 'The cat sat on the mat. The cat sat on the mat again.\n';
/** More than the bundled model reads: the longest run it can do. */
const LONG = SENTENCE.repeat(400);

describe('analysis of a document', () => {
  afterEach(closeAll);

  it('gives every head of every layer, and tokens that lie on the text', async () => {
    const editor = await openText(SENTENCE);
    const { summary, stale } = await analyze(editor);
    assert.equal(stale, false);
    assert.equal(summary.cores.length, summary.model.cores.length);
    for (const { info, heads } of summary.cores) assert.equal(heads.length, info.heads);
    assert.ok(summary.mechanisms.length > 0);
    const { tokens } = summary;
    const text = editor.document.getText();
    const covered = Array.from(tokens.ids, (_, i) => text.slice(tokens.start[i], tokens.end[i])).join('');
    assert.equal(covered.replace(/\s/g, ''), SENTENCE.replace(/\s/g, ''));
    const buffers = new Set(
      summary.cores.flatMap(({ heads }) => heads.map(head => head.thumbnail.pixels.buffer)),
    );
    assert.equal(
      buffers.size,
      summary.cores.reduce((sum, { heads }) => sum + heads.length, 0),
    );
  });

  it('says in one sentence that an empty document has no text', async () => {
    const editor = await openText('');
    await run('analyze');
    const state = (await api()).getState(editor.document.uri);
    assert.equal(state.status, 'error');
    assert.match(state.status === 'error' ? state.message : '', /empty.*no text/);
  });

  it('analyzes a selection alone, with tokens at their place in the document', async () => {
    const editor = await openText(`${SENTENCE}A green bird sings.\n${SENTENCE}`);
    const start = SENTENCE.length;
    const end = start + 'A green bird sings.'.length;
    const { document } = editor;
    editor.selection = new vscode.Selection(document.positionAt(start), document.positionAt(end));
    await run('analyzeSelection');
    const state = (await api()).getState(document.uri);
    assert.equal(state.status, 'ready');
    if (state.status !== 'ready') return;
    assert.equal(state.document.selectionStart, start);
    assert.equal(state.document.length, end - start);
    await saysOf(document, start + 3, 'green');
    assert.equal(await hoverAt(document, 5), undefined, 'outside of the selection nothing is known');
    assert.equal(await hoverAt(document, end + 3), undefined);
  });

  it('is replaced when it is started again: the earlier run is cancelled', async () => {
    const inspector = await api();
    const editor = await openText(LONG);
    const first = run('analyze');
    const earlier = await until('the first run', () => {
      const state = inspector.getState(editor.document.uri);
      return state.status === 'running' && state;
    });
    const second = run('analyze');
    await Promise.all([first, second]);
    await inspector.whenIdle();
    const state = inspector.getState(editor.document.uri);
    assert.equal(state.status, 'ready');
    if (state.status === 'ready') assert.notEqual(state.id, earlier.id);
    assert.equal(earlier.cores.length <= 6, true);
  });

  it('leaves nothing when it is cancelled, and runs again afterwards', async () => {
    const inspector = await api();
    const editor = await openText(LONG);
    const running = run('analyze');
    await until('the first finished core', () => {
      const state = inspector.getState(editor.document.uri);
      return state.status === 'running' && state.cores.length > 0;
    });
    await run('cancel');
    await running;
    assert.equal(inspector.getState(editor.document.uri).status, 'none');
    assert.equal(await hoverAt(editor.document, 5), undefined);
    await analyze(editor);
  });

  it('keeps the earlier results when a second run is cancelled', async () => {
    const inspector = await api();
    const editor = await openText(LONG);
    const { id } = await analyze(editor);
    const running = () => inspector.getState(editor.document.uri).status === 'running';
    const again = run('analyze');
    await until('the second run', running);
    // One that takes its place is to replace what it would have replaced.
    const oncemore = run('analyze');
    await again;
    await until('the third run', running);
    await run('cancel');
    await oncemore;
    const state = inspector.getState(editor.document.uri);
    assert.equal(state.status === 'ready' && state.id, id);
    await saysOf(editor.document, 5, 'cat');
  });

  it('is cancelled and forgotten when its document is closed', async () => {
    const inspector = await api();
    const editor = await openText(LONG);
    const { uri } = editor.document;
    const running = run('analyze');
    await until('the run', () => inspector.getState(uri).status === 'running');
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
    await running;
    await until('the analysis to be forgotten', () => inspector.getState(uri).status === 'none');
    await inspector.whenIdle();
    await analyze(await openText(SENTENCE)); // the engine is free again
  });

  it('stays when only the language of the document changes', async () => {
    const editor = await openText(SENTENCE);
    await analyze(editor);
    await vscode.languages.setTextDocumentLanguage(editor.document, 'markdown');
    assert.equal((await api()).getState(editor.document.uri).status, 'ready');
  });

  it('refuses a model that is none, with a reason', async () => {
    const editor = await openText(SENTENCE);
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const model = vscode.Uri.joinPath(folder, 'not-a-model.onnx');
    await vscode.workspace.fs.writeFile(model, Buffer.from('this is a text'));
    await withSettings({ model: model.fsPath }, async () => {
      await run('analyze');
      const state = (await api()).getState(editor.document.uri);
      assert.equal(state.status, 'error');
      if (state.status !== 'error') return;
      assert.match(state.message, /\.$/, 'one sentence');
      assert.ok(state.actions.includes('selectModel'));
    });
    await analyze(editor);
  });

  it('says of a device that is not there that it is the device, and offers its setting, not another model', async () => {
    const editor = await openText(SENTENCE);
    const device = process.platform === 'win32' ? 'coreml' : 'dml';
    await withSettings({ device }, async () => {
      await run('analyze');
      const state = (await api()).getState(editor.document.uri);
      assert.equal(state.status, 'error');
      if (state.status !== 'error') return;
      assert.match(state.message, /cannot be used here: .*\.$/);
      assert.deepEqual(state.actions, ['openDeviceSetting', 'analyze', 'showLog']);
    });
    await analyze(editor);
  });

  it('stays as it was when a wrong model is chosen', async () => {
    const editor = await openText(SENTENCE);
    const { id } = await analyze(editor);
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const model = vscode.Uri.joinPath(folder, 'wrong-choice.onnx');
    await vscode.workspace.fs.writeFile(model, Buffer.from('this is a text'));
    await run('selectModel', model.fsPath);
    const state = (await api()).getState(editor.document.uri);
    assert.equal(state.status === 'ready' && state.id, id);
    assert.equal(vscode.workspace.getConfiguration('attentionInspector').get('model'), 'bundled');
    await saysOf(editor.document, 4, 'cat');
  });

  it('shows the mechanisms that the setting names', async () => {
    const editor = await openText(SENTENCE);
    await withSettings({ mechanisms: [{ name: 'local', params: { window: 2 } }] }, async () => {
      const { summary } = await analyze(editor);
      assert.deepEqual(
        summary.mechanisms.map(({ setting, scope }) => [setting.name, setting.params.window, scope]),
        [['local', 2, 'local']],
      );
      const hover = await hoverAt(editor.document, 4);
      assert.match(hover!.text, /local/);
    });
  });
});

describe('large texts', () => {
  afterEach(closeAll);

  it('takes a line of 200,000 characters', async () => {
    const editor = await openText('word '.repeat(40_000));
    const { summary } = await analyze(editor);
    assert.ok(summary.tokens.total >= summary.tokens.ids.length);
    await saysOf(editor.document, 6, 'word');
    assert.equal(
      await hoverAt(editor.document, 199_990),
      undefined,
      'behind the cut there is nothing to say',
    );
  });

  it('sends the engine a bounded part of a document of 8 MB, and says so', async () => {
    const editor = await openText(SENTENCE.repeat(Math.ceil((8 << 20) / SENTENCE.length)));
    const { summary } = await analyze(editor);
    assert.ok(
      summary.notes.some(note => /Only the first/.test(note)),
      summary.notes.join('\n'),
    );
  });
});
