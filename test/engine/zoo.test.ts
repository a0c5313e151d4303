import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import { Engine } from '../../engine/engine';
import { verifyJson } from '../../engine/export/verifyJson';
import { listModels, resolveModel } from '../../engine/model/source/source';
import { ZOO } from '../../engine/model/source/zoo';
import { mechanisms as registered } from '../../engine/attention/registry';
import { packedZoo } from '../../scripts/lib/packedModels.mjs';
import { standingOf } from '../../shared/native';
import { withVscode } from '../fixtures/fakeVscode';

const TEXT =
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.';

describe('the models of the papers', function () {
  this.timeout(120_000);
  const engine = new Engine();
  before(() => engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 }));
  after(() => engine.dispose());

  it('stand in the list under the papers, by the papers’ names, and are small', async () => {
    const names = ZOO.map(({ name }) => name);
    assert.ok(names.includes('zoo/dense') && names.length > 2, names.join());
    const listed = (await listModels([])).filter(({ source }) => source === 'papers');
    assert.deepEqual(
      listed.map(({ ref }) => ref),
      names,
    );
    const sizes = await Promise.all(
      names.map(async name => (await stat((await resolveModel(name)).onnx)).size),
    );
    assert.ok(Math.max(...sizes) < 3e6, sizes.join());
    const inPackages = packedZoo().map(name => `zoo/${name}`);
    const files = await Promise.all(inPackages.map(async name => readFile((await resolveModel(name)).onnx)));
    const packed = files.reduce((sum, file) => sum + deflateRawSync(file).length, 0);
    assert.ok(packed < 5e6, `together they leave the largest package below what it may have: ${packed}`);
    const strided = listed.find(({ ref }) => ref === 'zoo/strided')!;
    assert.equal(strided.label, 'Sparse Transformer (zoo/strided)');

    const vscode = { l10n: { t: (text: string) => text }, QuickPickItemKind: { Separator: -1 } };
    const { modelItems } = await withVscode(vscode, () => import('../../extension/workbench/pickers'));
    const items = modelItems(await listModels([]), 'zoo/strided');
    const heading = items.findIndex(({ label }) => label === 'The papers');
    const next = items.findIndex(({ kind }, at) => at > heading && kind === -1);
    const under = items.slice(heading + 1, next < 0 ? undefined : next);
    assert.deepEqual(
      under.map(item => (item as { ref: string }).ref),
      names,
    );
    assert.equal(under.find(item => item.description === 'current')!.label, strided.label);
  });

  it('open: each is proved, made with its mechanism, and shows a text', async () => {
    for (const { name } of ZOO) {
      const made = name.split('/')[1]!;
      const id = made;
      const wanted = { maxTokens: null, propagate: false, target: null, device: 'cpu' } as const;
      const mechanisms = [{ name: 'dense', params: {} }];
      const params = { id, model: name, text: TEXT, mechanisms, ...wanted };
      const summary = await engine.request('analysis/start', params);
      assert.ok(summary.verified.holds, name);
      assert.ok(summary.loss!.mean < 8, 'it has learned something: chance is 8.3 nats');
      const isMechanism = registered.some(({ info }) => info.name === made) && made !== 'dense';
      for (const { attention } of verifyJson(summary.model).cores) {
        assert.equal(attention.native, isMechanism, name);
        if (isMechanism) assert.equal(attention.name, made);
      }
      const [dense] = summary.mechanisms;
      assert.equal(standingOf(dense!.setting, summary.model.cores), isMechanism ? 'what-if' : 'native');
    }
  });
});
