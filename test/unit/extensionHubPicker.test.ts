import assert from 'node:assert/strict';
import { ErrorCode, type HubModel } from '../../shared/protocol/engine';
import type { EngineClient } from '../../extension/engine/engineClient';
import { withVscode } from '../fixtures/fakeVscode';

interface Item {
  ref: string;
  label: string;
  description?: string;
  detail?: string;
}

/** What the user does, and what the editor was asked to show. */
class FakeEditor {
  trusted = true;
  typed: string | undefined = 'org/tiny';
  choice: number | null = 0;
  input: { validateInput(text: string): string | undefined } | null = null;
  shown: { title: string; items: Item[] } | null = null;
  progress: string | null = null;

  readonly module = {
    l10n: {
      t: (message: string, ...args: unknown[]) => message.replace(/\{(\d)\}/g, (_, i) => String(args[i])),
    },
    ProgressLocation: { Notification: 15 },
    workspace: Object.defineProperty({}, 'isTrusted', { get: () => this.trusted }),
    window: {
      showInputBox: (options: FakeEditor['input']) => {
        this.input = options;
        return Promise.resolve(this.typed);
      },
      showQuickPick: (items: Item[], { title }: { title: string }) => {
        this.shown = { title, items };
        return Promise.resolve(this.choice === null ? undefined : items[this.choice]);
      },
      withProgress: (options: { title: string }, task: (bar: object, cancel: object) => unknown) => {
        this.progress = options.title;
        return task({}, { isCancellationRequested: false });
      },
    },
  };
}

describe('extension: the dialogue for a hub model', () => {
  const variants: HubModel[] = [
    {
      ref: 'org/tiny/onnx/model.onnx',
      label: 'onnx/model.onnx',
      detail: '3.1 MB, licence mit',
      source: 'hub',
    },
    {
      ref: 'org/tiny/onnx/model_int8.onnx',
      label: 'onnx/model_int8.onnx',
      detail: '0.9 MB, licence mit',
      source: 'hub',
    },
  ];
  const editor = new FakeEditor();
  let picker: typeof import('../../extension/model/hubPicker');
  let errors: typeof import('../../extension/engine/engineClient');
  let asked: unknown[][];
  let answer: () => Promise<HubModel[]>;
  const client = {
    request: (...request: unknown[]) => {
      asked.push(request.slice(0, 2));
      return answer();
    },
  } as unknown as EngineClient;

  before(async () => {
    picker = await withVscode(editor.module, () => import('../../extension/model/hubPicker'));
    // Not by `import`, which keeps what it loaded first: the class must be the one that the picker knows.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    errors = require('../../extension/engine/engineClient') as typeof errors;
  });
  beforeEach(() => {
    Object.assign(editor, { trusted: true, typed: 'org/tiny', choice: 0, shown: null, input: null });
    asked = [];
    answer = () => Promise.resolve(variants);
  });

  it('asks the engine for the files, and shows size, licence and precision of each', async () => {
    editor.choice = 1;
    editor.typed = ' https://huggingface.co/org/tiny/ ';
    assert.equal(await picker.pickHubModel(client), 'org/tiny/onnx/model_int8.onnx');
    assert.deepEqual(asked, [['models/variants', { ref: 'org/tiny' }]]);
    assert.equal(editor.progress, 'Asking the hub for org/tiny');
    assert.equal(editor.shown!.title, 'Files of org/tiny');
    assert.deepEqual(
      editor.shown!.items.map(({ label, description, detail }) => [label, description, detail]),
      [
        ['onnx/model.onnx', '3.1 MB, licence mit', 'as exported'],
        ['onnx/model_int8.onnx', '0.9 MB, licence mit', '8-bit'],
      ],
    );
  });

  it('takes only ids of the hub', async () => {
    await picker.pickHubModel(client);
    assert.equal(editor.input!.validateInput('org/tiny@v1'), undefined);
    assert.match(editor.input!.validateInput('tiny')!, /^A hub id has the form org\/name/);
  });

  it('ends without a model when the user leaves it at any step', async () => {
    editor.typed = undefined;
    assert.equal(await picker.pickHubModel(client), undefined);
    assert.deepEqual(asked, []);
    editor.typed = 'org/tiny';
    editor.choice = null;
    assert.equal(await picker.pickHubModel(client), undefined);
    answer = () => Promise.reject(new errors.EngineError('cancelled', ErrorCode.cancelled));
    assert.equal(await picker.pickHubModel(client), undefined);
  });

  it('hands on what the engine refuses', async () => {
    answer = () => Promise.reject(new errors.EngineError('org/tiny has no ONNX files on the hub.', null));
    await assert.rejects(picker.pickHubModel(client), /no ONNX files/);
    assert.equal(editor.shown, null);
  });

  it('asks nothing of the network in a workspace that is not trusted', async () => {
    editor.trusted = false;
    assert.equal(await picker.pickHubModel(client), undefined);
    assert.deepEqual([asked, editor.input], [[], null]);
  });
});
