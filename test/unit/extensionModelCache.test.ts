import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import type { EngineClient } from '../../extension/engine/engineClient';
import { withVscode } from '../fixtures/fakeVscode';

interface Item {
  id: string;
  label: string;
  description: string;
}

/** Over the engine's own answers, about a folder of the test's. */
describe('extension: the cache of models', () => {
  const folder = mkdtempSync(join(tmpdir(), 'model-cache-'));
  const engine = new Engine();
  const client = {
    request: (method: 'models/cache', params: Record<string, never>) => engine.request(method, params),
  } as unknown as EngineClient;
  const told: string[] = [];
  let shown: { items: Item[]; title: string } | null = null;
  let mark: (item: Item) => boolean;
  const editor = {
    l10n: {
      t: (message: string, ...args: unknown[]) => message.replace(/\{(\d)\}/g, (_, i) => String(args[i])),
    },
    window: {
      showInformationMessage: async (message: string) => void told.push(message),
      showQuickPick: async (items: Item[], { title }: { title: string }) => {
        shown = { items, title };
        return items.filter(mark);
      },
    },
  };
  const show = () =>
    withVscode(editor, async () => {
      told.length = 0;
      shown = null;
      await (await import('../../extension/model/modelCache')).showModelCache(client);
    });

  before(async () => {
    process.env.ATTENTION_INSPECTOR_CACHE = folder;
    for (const [name, bytes] of [
      ['org--small', 1_500_000],
      ['org--large', 42_000_000],
      ['known', 10],
    ] as const) {
      await mkdir(join(folder, name, 'abc'), { recursive: true });
      await writeFile(join(folder, name, 'abc', 'model.onnx'), new Uint8Array(bytes));
    }
  });
  after(async () => {
    delete process.env.ATTENTION_INSPECTOR_CACHE;
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });

  it('shows every model with its size and all of them together, and leaves them', async () => {
    mark = () => false;
    await show();
    assert.equal(shown!.title, `Model cache: 2 models, 43.5 MB in ${folder}`);
    assert.deepEqual(shown!.items.map(({ label, description }) => `${label} ${description}`).sort(), [
      'org/large 42.0 MB',
      'org/small 1.5 MB',
    ]);
    assert.deepEqual(told, []);
  });

  it('removes those that are marked, and nothing else', async () => {
    mark = ({ id }) => id === 'org/large';
    await show();
    assert.deepEqual(told, ['1 model, 42.0 MB removed, 1 model, 1.5 MB left.']);
    await engine.request('models/removeCached', { ids: ['../..', 'known', 'org/../..', 'nobody/none'] });
    mark = () => true;
    await show();
    assert.deepEqual(
      shown!.items.map(({ label }) => label),
      ['org/small'],
    );
    await show();
    assert.deepEqual(told, [`No models were downloaded to ${folder}.`]);
  });
});
