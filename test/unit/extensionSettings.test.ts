import assert from 'node:assert/strict';
import { join } from 'node:path';
import { withVscode } from '../fixtures/fakeVscode';

async function settingsOf(values: Record<string, unknown>, folder: string | null) {
  const workspace = {
    getConfiguration: () => ({ get: (key: string) => values[key] }),
    workspaceFolders: folder === null ? undefined : [{ uri: { scheme: 'file', fsPath: folder } }],
  };
  const { Settings } = await withVscode({ workspace }, () => import('../../extension/workbench/settings'));
  return new Settings();
}

describe('extension: what runs in place of dense attention', () => {
  it('is a mechanism by its name or with its parameters, a plan by its file in the workspace, or nothing', async () => {
    const attention = async (value: unknown) =>
      (await settingsOf({ attention: value }, join(import.meta.dirname, '..', '..'))).attention;
    assert.equal((await attention('block-search'))?.setting?.name, 'block-search');
    const local = { name: 'local', params: { window: 32 } };
    const { name, params } = (await attention(local))!.setting!;
    assert.deepEqual({ name, params }, local);
    assert.deepEqual(await attention('package.json'), {
      plan: join(import.meta.dirname, '..', '..', 'package.json'),
    });
    assert.deepEqual(await attention('/elsewhere/plan.json'), { plan: '/elsewhere/plan.json' });
    for (const nothing of [null, '', 7, []]) assert.equal(await attention(nothing), null);
  });
});
