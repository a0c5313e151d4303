import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mechanisms } from '../../engine/attention/registry';
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import type { MechanismResult, Setting } from '../../shared/protocol/engine';
import { setting } from '../support/settings';

describe('mechanisms at equal budget', function () {
  this.timeout(900_000);
  const engine = new Engine();
  after(() => engine.dispose());
  const id = 'a';
  const budget = 0.1;

  before(() =>
    engine.analyze({
      id,
      model: 'bundled',
      text: readFileSync('test/fixtures/sample.txt', 'utf8'),
      device: 'cpu',
      maxTokens: 256,
      mechanisms: [],
      propagate: false,
    }),
  );

  it('gives every mechanism that has settings one that spends about the budget', async () => {
    const found = await engine.request('analysis/atBudget', { id, budget, mechanisms: [] });
    const able = mechanisms.filter(m => m.settings && m.info.name !== 'dense').map(m => m.info.name);
    assert.ok(found.length >= 6, 'most of them have one');
    for (const { setting, pairs, densePairs, scope, deltaLoss } of found) {
      const { name } = setting;
      assert.ok(able.includes(name));
      assert.ok(pairs / densePairs <= budget, `${name} spends ${pairs / densePairs}`);
      assert.ok(pairs / densePairs > 0.02, `${name} spends ${pairs / densePairs}`);
      assert.deepEqual([scope, deltaLoss], ['local', null]);
    }
    assert.equal(new Set(found.map(one => one.setting.name)).size, found.length);
  });

  it('spends between 9 % and 10 % at 10 % of 1,024 tokens, whatever the mechanism', async () => {
    const long = 'long';
    const text = readFileSync('test/fixtures/sample.txt', 'utf8');
    await engine.analyze({
      id: long,
      model: 'bundled',
      text,
      device: 'cpu',
      maxTokens: 1024,
      mechanisms: [],
      propagate: false,
    });
    const found = await engine.request('analysis/atBudget', { id: long, budget, mechanisms: [] });
    const dense = new Set(['dense', 'snapkv']);
    const able = mechanisms.filter(m => m.settings && !dense.has(m.info.name)).map(m => m.info.name);
    assert.deepEqual(
      found.map(one => one.setting.name),
      able,
      'every mechanism with settings has one within the budget',
    );
    for (const { setting, pairs, densePairs, notes } of found) {
      const share = pairs / densePairs;
      const told = notes.some(note => note.kind === 'budget');
      assert.ok(share <= budget && (share >= 0.09 || told), `${setting.key} spends ${share}`);
      assert.equal(told, share < 0.09, setting.key);
    }
    await assert.rejects(
      engine.request('analysis/atBudget', { id: long, budget, mechanisms: ['snapkv'] }),
      /^RefusedError: SnapKV has no setting that spends such a share of the pairs: the prompt is read by dense attention\.$/,
    );
    const short = found.filter(({ pairs, densePairs }) => pairs / densePairs < 0.09);
    assert.deepEqual(
      short.map(one => one.setting.name),
      [],
      'none needs the excuse here',
    );
  });

  it('fits a span to each head under the same budget', async () => {
    const [found] = await engine.request('analysis/atBudget', { id, budget, mechanisms: ['adaptive-span'] });
    const spans = new Set(found!.heads.map(({ span }) => span));
    assert.ok(spans.size > 1, 'one span for every head');
    assert.ok(found!.pairs / found!.densePairs <= budget);
  });

  it('says the same as the mechanism alone, and leaves the analysis as it was', async () => {
    const [local] = await engine.request('analysis/atBudget', { id, budget, mechanisms: ['local'] });
    const hover = { id, core: null, head: null, tokens: [9], top: 1, mechanisms: [] };
    assert.deepEqual((await engine.request('analysis/token', hover))[0]!.kept, []);
    const mechanism = local!.setting;
    const alone = await engine.request('analysis/mechanism', { id, mechanism, scope: 'local' });
    assert.deepEqual(local!.heads, alone.heads);
    assert.equal((await engine.request('analysis/token', hover))[0]!.kept.length, 1);
    const none = await engine.request('analysis/token', { ...hover, mechanisms: null });
    assert.deepEqual(none[0]!.kept, [], 'none is asked for');
  });

  it('refuses what cannot be', async () => {
    const ask = (change: object) =>
      engine.request('analysis/atBudget', { id, budget, mechanisms: ['local'], ...change });
    await assert.rejects(ask({ mechanisms: ['performer'] }), RefusedError);
    await assert.rejects(ask({ budget: 0 }), RefusedError);
    await assert.rejects(ask({ budget: 1e-6 }), /no setting/);
  });

  it('chooses what the model that runs on loses least with, where the errors of all heads alike choose another', async () => {
    const unweighted = ({ heads }: MechanismResult) =>
      heads.reduce((sum, { outputError }) => sum + outputError ** 2, 0) / heads.length;
    const rivals = [
      {
        budget: 0.2,
        name: 'vertical-slash',
        params: { vertical: 18, slash: 24, forcedVertical: 2, forcedSlash: 2 },
      },
      { budget: 0.3, name: 'bigbird', params: { block: 11, randomBlocks: 1, globalBlocks: 1 } },
    ];
    for (const { budget: share, name, params } of rivals) {
      const [found] = await engine.request('analysis/atBudget', { id, budget: share, mechanisms: [name] });
      const run = (mechanism: Setting) =>
        engine.request('analysis/mechanism', { id, mechanism, scope: 'propagated' });
      const [chosen, rival] = [await run(found!.setting), await run(setting(name, params))];
      for (const { pairs, densePairs } of [chosen, rival])
        assert.ok(pairs / densePairs > 0.9 * share && pairs / densePairs <= share, 'both come near');
      assert.ok(
        unweighted(rival) < unweighted(chosen),
        `${name}: the errors of all heads alike prefer the rival`,
      );
      assert.ok(chosen.deltaLoss! < rival.deltaLoss!, `${chosen.deltaLoss} against ${rival.deltaLoss}`);
    }
  });
});
