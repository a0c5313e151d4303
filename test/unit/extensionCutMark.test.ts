import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld, Position } from '../support/editorWorld';

const nothing = { dispose: () => undefined };
const never = () => nothing;

interface Mark {
  range: { start: Position };
  renderOptions: { after: { contentText: string } };
}

/** Tokens of three characters each, the last of them special. */
function tokens(read: number, total: number, estimated = false) {
  const special = new Uint8Array(read);
  special[read - 1] = 1;
  return { ids: new Int32Array(read), special, total, estimated };
}

/** What an editor of the analysed text, one of its target text and one of neither are told to draw. */
async function marksOf(read: { text: object; target: object | null }, settings = { decorations: true }) {
  const world = new EditorWorld().module;
  const editors = ['text', 'target', 'other'].map(document => {
    const drawn: Mark[] = [];
    const setDecorations = (_: object, marks: Mark[]) => drawn.splice(0, drawn.length, ...marks);
    return { document, drawn, setDecorations };
  });
  const window = {
    ...world.window,
    visibleTextEditors: editors,
    createTextEditorDecorationType: () => nothing,
    onDidChangeVisibleTextEditors: never,
  };
  const more = { ThemeColor: class {}, OverviewRulerLane: {}, DecorationRangeBehavior: {} };
  const { CutMark } = await withVscode(
    { ...world, ...more, window },
    () => import('../../extension/editor/cutMark'),
  );
  const analysis = {
    began: { tokens: read.text },
    targetTokens: read.target,
    rangeOfToken: (token: number) => ({ end: new Position(0, 3 * token + 3) }),
  };
  const changes = new Emitter<unknown>();
  const store = {
    onChange: changes.event,
    onOthers: never,
    of: (document: unknown) => (document === 'text' ? analysis : undefined),
    ofTarget: (document: unknown) => (document === 'target' ? analysis : undefined),
  };
  new CutMark(store as never, settings as never);
  changes.fire(null);
  return editors.map(({ drawn }) =>
    drawn.map(mark => [mark.range.start.character, mark.renderOptions.after.contentText]),
  );
}

describe('extension: where a model stopped reading', () => {
  it('is marked behind the last token of the text, with how much of it that is', async () => {
    const text = tokens(1024, 12_000);
    assert.deepEqual(await marksOf({ text, target: null }), [
      [[3 * 1023, 'read as far as here: 1,024 of 12,000 tokens']],
      [],
      [],
    ]);
  });

  it('is marked in a target text as well, and says where the length is an estimate', async () => {
    const [text, target] = [tokens(8, 8), tokens(512, 900_000, true)];
    assert.deepEqual(await marksOf({ text, target }), [
      [],
      [[3 * 511, 'read as far as here: 512 tokens of about 900,000']],
      [],
    ]);
  });

  it('is not marked where all was read, or marks are not wanted', async () => {
    const whole = { text: tokens(9, 9), target: tokens(9, 9) };
    assert.deepEqual(await marksOf(whole), [[], [], []]);
    const long = { text: tokens(9, 90), target: null };
    assert.deepEqual(await marksOf(long, { decorations: false }), [[], [], []]);
  });
});
