import assert from 'node:assert/strict';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const uriOf = (path: string) => ({ path, scheme: 'file', toString: () => `file://${path}` });
type Uri = ReturnType<typeof uriOf>;
class TabInputText {
  constructor(readonly uri: Uri) {}
}

interface Entry {
  label: string;
  description?: string;
}

/** The command over two open texts, where the user takes the entry with this label, and this file when asked for one. */
async function open(file?: Uri) {
  const world = new EditorWorld().module;
  const [source, other] = [uriOf('/source.txt'), uriOf('/other.txt')];
  const tabs = [source, other].map(uri => ({ input: new TabInputText(uri) }));
  const seen = { lists: [] as Entry[][], told: [] as string[], ran: [] as unknown[][], shown: [] as Uri[] };
  let taken = '';
  const module = {
    ...world,
    TabInputText,
    ViewColumn: { Beside: -2 },
    commands: { executeCommand: async (...command: unknown[]) => void seen.ran.push(command) },
    workspace: { ...world.workspace, openTextDocument: async (uri: Uri) => ({ uri }) },
    window: {
      ...world.window,
      tabGroups: { all: [{ tabs }], onDidChangeTabs: () => ({ dispose: () => undefined }) },
      showQuickPick: async (items: Entry[]) => {
        seen.lists.push(items);
        return items.find(({ label }) => label === taken);
      },
      showOpenDialog: async () => (file ? [file] : undefined),
      showTextDocument: async (uri: Uri) => void seen.shown.push(uri),
      showInformationMessage: async (message: string, ...buttons: string[]) => {
        seen.told.push(message);
        return buttons[0];
      },
    },
  };
  const { TargetTexts } = await withVscode(module, () => import('../../extension/analysis/targetTexts'));
  const targets = new TargetTexts();
  const document = { uri: source } as never;
  const take = async (label: string) => {
    taken = label;
    await targets.pick(document);
    await new Promise(resolve => setImmediate(resolve));
    return targets.of(document)?.uri.path ?? null;
  };
  return { take, source, seen };
}

describe('extension: the choice of a target text', () => {
  it('is among the other open texts; what it means is told, with the analysis a click away', async () => {
    const { take, source, seen } = await open();
    assert.equal(await take('other.txt'), '/other.txt');
    assert.deepEqual(
      seen.lists[0]!.map(({ label }) => label),
      ['Let the model write it', 'other.txt', 'Open a file…'],
    );
    assert.deepEqual(seen.told, ['other.txt is the target text from the next analysis on.']);
    assert.deepEqual(seen.ran, [['attentionInspector.analyze', source]]);
    assert.equal(await take('Let the model write it'), null);
    assert.equal(seen.lists[1]!.find(({ label }) => label === 'other.txt')!.description, 'current');
    assert.equal(seen.told[1], 'The model writes the target text from the next analysis on.');
  });

  it('may be a file that is not open: it gets a tab of its own', async () => {
    const { take, seen } = await open(uriOf('/far.txt'));
    assert.equal(await take('Open a file…'), '/far.txt');
    assert.deepEqual(
      seen.shown.map(({ path }) => path),
      ['/far.txt'],
    );
    assert.match(seen.told[0]!, /^far\.txt is the target text/);
  });

  it('that is called off, in the list or in the dialog, changes nothing and says nothing', async () => {
    const { take, seen } = await open();
    await take('other.txt');
    assert.equal(await take('no such entry'), '/other.txt');
    assert.equal(await take('Open a file…'), '/other.txt');
    assert.equal(seen.told.length, 1);
  });
});
