import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Emitter } from 'vscode-jsonrpc';
import { MANIFEST, WORDS, type Words } from '../../scripts/manifest';
import { withVscode } from '../fixtures/fakeVscode';

class TabInputText {
  constructor(readonly uri: unknown) {}
}

const uriOf = (name: string, scheme = 'file') => ({ scheme, toString: () => `${scheme}:///${name}` });
const editorOf = (name: string, scheme?: string) => ({ document: { uri: uriOf(name, scheme) } });
type Editor = ReturnType<typeof editorOf>;

/** The editor with texts in its tabs, and one of them in front. */
async function open(tabs: { input: unknown; isActive: boolean }[] = [], shown: string | null = null) {
  const fronts = new Emitter<Editor | undefined>();
  const window = {
    activeTextEditor: undefined as Editor | undefined,
    visibleTextEditors: [] as Editor[],
    tabGroups: { all: [{ tabs }] },
    onDidChangeActiveTextEditor: fronts.event,
  };
  const openTextDocument = (uri: { toString(): string }) =>
    String(uri).includes('huge') ? Promise.reject(new Error('too large')) : Promise.resolve({ uri });
  const asRelativePath = (uri: unknown) => String(uri).slice('file:///'.length);
  const vscode = {
    window,
    workspace: { openTextDocument, asRelativePath },
    TabInputText,
    EventEmitter: Emitter,
  };
  // Loaded anew for each editor: a module keeps the one it was loaded with.
  delete require.cache[require.resolve('../../extension/workbench/textInFront')];
  const { TextInFront } = await withVscode(
    vscode,
    async () =>
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      require('../../extension/workbench/textInFront') as typeof import('../../extension/workbench/textInFront'),
  );
  const known = new Set([`file:///${shown}`]);
  const changes = new Emitter<unknown>();
  const store = {
    shown: shown && { uri: `file:///${shown}`, document: { uri: uriOf(shown) } },
    of: ({ uri }: Editor['document']) => known.has(String(uri)),
    onChange: changes.event,
  };
  const front = new TextInFront(store as never);
  const document = async () => (await front.document())?.uri.toString();
  const analysed = (name: string) => {
    known.add(`file:///${name}`);
    changes.fire(null);
  };
  return { window, fronts, front, document, analysed };
}

const tab = (name: string, isActive = false) => ({ input: new TabInputText(uriOf(name)), isActive });
const walkthrough = { input: {}, isActive: true };

describe('extension: the text that a command means', () => {
  it('is the one in front', async () => {
    const { window, document } = await open([tab('b')], 'c');
    window.activeTextEditor = editorOf('a');
    window.visibleTextEditors = [editorOf('b'), window.activeTextEditor];
    assert.equal(await document(), 'file:///a');
  });

  it('is named to the views while they show another and it was never analyzed', async () => {
    const { fronts, front, analysed } = await open([], 'shown');
    const told: (string | null)[] = [];
    front.onUnanalysed(name => told.push(name));
    fronts.fire(editorOf('shown'));
    fronts.fire(editorOf('a'));
    fronts.fire(undefined); // a view has the focus: the text before it is meant
    assert.equal(front.unanalysed?.name, 'a');
    fronts.fire(editorOf('log', 'output'));
    fronts.fire(editorOf('b'));
    analysed('b');
    assert.deepEqual(told, ['a', 'b', null]);
  });

  it('is one in sight where no text is in front: the shown one, the last one, any but an output', async () => {
    const { window, fronts, document } = await open([], 'shown');
    window.visibleTextEditors = [editorOf('log', 'output'), editorOf('a'), editorOf('b'), editorOf('shown')];
    assert.equal(await document(), 'file:///shown');
    window.visibleTextEditors.pop();
    fronts.fire(editorOf('b'));
    fronts.fire(editorOf('log', 'output'));
    fronts.fire(undefined);
    assert.equal(await document(), 'file:///b');
    window.visibleTextEditors.pop();
    assert.equal(await document(), 'file:///a');
  });

  it('is the last one of those behind other tabs, as when the walkthrough covers them', async () => {
    const { fronts, document } = await open([tab('a'), tab('b'), walkthrough]);
    assert.equal(await document(), 'file:///a');
    fronts.fire(editorOf('b'));
    fronts.fire(editorOf('closed since'));
    fronts.fire(editorOf('b'));
    fronts.fire(undefined);
    assert.equal(await document(), 'file:///b');
  });

  it('is none where no text is open, or only one that extensions cannot read', async () => {
    assert.equal(await (await open([walkthrough])).document(), undefined);
    assert.equal(await (await open([tab('huge', true)])).document(), undefined);
  });
});

describe('extension: the walkthrough', () => {
  it('ticks its first step by a finished analysis alone, and offers the sample, which ships', () => {
    const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as {
      contributes: {
        walkthroughs: { steps: { description: string; completionEvents: string[] }[] }[];
      };
    };
    const words = JSON.parse(readFileSync(WORDS, 'utf8')) as Words;
    const [first] = manifest.contributes.walkthroughs[0]!.steps;
    assert.deepEqual(first!.completionEvents, ['onContext:attentionInspector.analyzed']);
    assert.match(words[first!.description.slice(1, -1)]!, /command:attentionInspector\.trySample/);
    const root = join(MANIFEST, '..');
    assert.ok(readFileSync(join(root, 'media/sample.txt'), 'utf8').length > 1000);
    assert.match(readFileSync(join(root, '.vscodeignore'), 'utf8'), /^!media\/sample\.txt$/m);
  });
});
