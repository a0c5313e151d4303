import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const nothing = { dispose: () => undefined };
const never = () => nothing;

class RangeOfNumbers {
  readonly start: object;
  readonly end: object;
  constructor(line: number, from: number, last: number, to: number) {
    this.start = { line, character: from };
    this.end = { line: last, character: to };
  }
}

type Drawn = Map<{ textDecoration?: string; border?: string }, unknown[]>;

/** Marks over a store and a selection, in these editors. */
async function marksIn(
  editors: object[],
  store: object,
  selection: object,
  onSelection: (listener: (event: object) => void) => object = never,
) {
  const world = new EditorWorld().module;
  const window = {
    ...world.window,
    visibleTextEditors: editors,
    createTextEditorDecorationType: (options: object) => ({ ...options, ...nothing }),
    onDidChangeVisibleTextEditors: never,
    onDidChangeTextEditorSelection: onSelection,
  };
  const module = {
    ...world,
    window,
    ThemeColor: class {},
    Range: RangeOfNumbers,
    OverviewRulerLane: {},
    DecorationRangeBehavior: {},
  };
  const { EditorMarks } = await withVscode(module, () => import('../../extension/editor/editorMarks'));
  const settings = { decorations: true, massScale: 'sqrt' };
  return new EditorMarks(store as never, selection as never, settings as never);
}

const settled = () => new Promise(resolve => setImmediate(resolve));

function editorOf(document: object) {
  const drawn: Drawn = new Map();
  return { document, drawn, setDecorations: (type: object, ranges: unknown[]) => drawn.set(type, ranges) };
}

/** What the editor is told to draw for a pinned token with these links. */
async function painted(row: number[]) {
  const editor = editorOf({});
  const analysis = {
    id: 'a',
    document: editor.document,
    targetTokens: null,
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
  await marksIn([editor], store, selection);
  changes.fire(null);
  await settled();
  return [...editor.drawn].flatMap(([type, tokens]) =>
    tokens.map(token => ({ token, line: type.textDecoration })),
  );
}

/** An encoder-decoder's source and target text, with the cursor put into the target, then into the source. */
async function clicked(looks: object, core: { kind: string } | null) {
  const line = (text: string) => ({
    lineAt: () => ({ text }),
    offsetAt: ({ character }: { character: number }) => character,
  });
  const [source, target] = [editorOf(line('the cat')), editorOf(line('le chat'))];
  const analysis = {
    id: 'a',
    document: source.document,
    target: { document: target.document },
    targetTokens: {},
    began: { model: { cores: core ? [{ core: 0, ...core }] : [] } },
    tokensAt: (start: number, _: number, side: string) => [side === 'target' && start > 0 ? 1 : 0],
    rangeOfToken: (token: number, side: string) => `${side} ${token}`,
  };
  const questions: { side?: string; tokens: number[] }[] = [];
  const store = {
    shown: analysis,
    onChange: never,
    request: (_: string, question: { side?: string; tokens: number[] }) => {
      questions.push(question);
      return Promise.resolve([looks]);
    },
  };
  const previews: unknown[] = [];
  const selection = {
    current: { core: core && 0, head: core && 0, token: null },
    onChange: never,
    onPreview: never,
    preview: (token: number | null) => previews.push(token),
  };
  const moves = new Emitter<object>();
  await marksIn([source, target], store, selection, moves.event as never);
  const drawn = (of: typeof source) => [...of.drawn.values()].flat();
  const move = async (to: typeof source) => {
    moves.fire({ textEditor: { ...to, selection: { active: { line: 0, character: 4 } } } });
    await settled();
    return { source: drawn(source), target: drawn(target) };
  };
  return { there: await move(target), back: await move(source), questions, previews };
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

  it('preview a token in its own text alone, and leave none behind in the text that was shown before', async () => {
    const [before, now] = [editorOf({}), editorOf({})];
    const of = ({ document }: { document: object }) => ({ document, rangeOfToken: (token: number) => token });
    const previews = new Emitter<number | null>();
    const store = { shown: of(before), onChange: never };
    const selection = { current: { token: null }, onChange: never, onPreview: previews.event };
    await marksIn([before, now], store, selection);
    const drawn = () => [before, now].map(editor => [...editor.drawn.values()].flat());
    previews.fire(5);
    assert.deepEqual(drawn(), [[5], []]);
    store.shown = of(now);
    previews.fire(6);
    assert.deepEqual(drawn(), [[], [6]]);
  });

  it('are of the word at the cursor in a target text, in both texts, as long as the cursor is there', async () => {
    const links = [{ token: 2, mass: 0.9 }];
    const cross = { looksAt: links, looksAtSide: 'text' };
    const one = await clicked(cross, { kind: 'cross' });
    assert.deepEqual(one.questions, [
      { id: 'a', core: 0, head: 0, side: 'target', tokens: [1], top: 1000, mechanisms: [] },
    ]);
    assert.deepEqual([...new Set(one.there.source)], ['text 2']);
    assert.deepEqual(one.there.target, ['target 1']);
    assert.deepEqual(one.back, { source: [], target: [] });
    assert.deepEqual(one.previews, [null, 0], 'the views are of the source text');

    // The mean of all heads looks at both texts.
    const all = { looksAt: [{ token: 0, mass: 0.5 }], looksAtSide: 'target', across: { looksAt: links } };
    const mean = await clicked(all, null);
    assert.deepEqual([...new Set(mean.there.source)], ['text 2']);
    assert.deepEqual([...new Set(mean.there.target)].sort(), ['target 0', 'target 1']);
  });
});
