import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const nothing = { dispose: () => undefined };
const never = () => nothing;

/** What the editor is told to draw for a pinned token with these links. */
async function painted(row: number[]) {
  const document = {};
  const drawn = new Map<{ textDecoration?: string }, unknown[]>();
  const editor = { document, setDecorations: (type: object, ranges: unknown[]) => drawn.set(type, ranges) };
  const world = new EditorWorld().module;
  const window = {
    ...world.window,
    visibleTextEditors: [editor],
    createTextEditorDecorationType: (options: object) => ({ ...options, ...nothing }),
    onDidChangeVisibleTextEditors: never,
    onDidChangeTextEditorSelection: never,
  };
  const module = {
    ...world,
    window,
    ThemeColor: class {},
    OverviewRulerLane: {},
    DecorationRangeBehavior: {},
  };
  const { EditorMarks } = await withVscode(module, () => import('../../extension/editor/editorMarks'));
  const analysis = {
    id: 'a',
    document,
    began: { model: { cores: [{ core: 0, kind: 'self' }] } },
    rangeOfToken: (token: number) => token,
  };
  const changes = new Emitter<unknown>();
  const store = {
    shown: analysis,
    onChange: changes.event,
    request: () => Promise.resolve(Float32Array.from(row)),
  };
  const selection = { current: { core: 0, head: 0, token: 3 }, onChange: never, onPreview: never };
  new EditorMarks(store as never, selection as never, { decorations: true, massScale: 'sqrt' } as never);
  changes.fire(null);
  await new Promise(resolve => setImmediate(resolve));
  return [...drawn].flatMap(([type, tokens]) => tokens.map(token => ({ token, line: type.textDecoration })));
}

describe('extension: marks of a pinned token', () => {
  it('underline a link on its letters, the more heavily the more of the attention it takes', async () => {
    const pixels = (marks: { token: unknown; line?: string }[], token: number) =>
      marks.map(mark => mark.token === token && /(\d)px/.exec(mark.line ?? '')?.[1]).find(Boolean);
    const sure = await painted([0.001, 0.999, 0, 0]);
    assert.equal(pixels(sure, 1), '4');
    assert.equal(pixels(sure, 0), undefined);
    // As the heaviest it is painted in the strongest colour; it is no strong link for that.
    const spread = await painted([0.08, 0.07, 0.06, 0.05]);
    assert.ok(spread.length > 0 && spread.every(({ line }) => line === undefined));
  });
});
