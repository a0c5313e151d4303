import assert from 'node:assert/strict';
import { Engine } from '../../engine/engine';
import { differences } from '../../scripts/compareAnalyses';
import { setting } from '../support/settings';

describe('settings of an analysis', function () {
  this.timeout(120_000);
  const engine = new Engine();
  after(() => engine.dispose());

  it('are computed once each; what follows from the text is settled beside what was asked', async () => {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 2048 });
    const given = (name: string, params: Record<string, unknown> = {}) => ({ name, params });
    const { mechanisms } = await engine.request('analysis/start', {
      id: 'a',
      model: 'bundled',
      text: 'The cat sat on the mat. The dog sat on the log. The cat saw the dog.',
      device: 'cpu',
      maxTokens: null,
      mechanisms: [
        given('lsh'),
        given('lsh', { rounds: 2 }),
        given('strided'),
        given('strided', { stride: 4 }),
      ],
      propagate: false,
    });
    assert.deepEqual(
      mechanisms.map(one => one.setting.key),
      [setting('lsh').key, 'strided:stride=auto', 'strided:stride=4'],
    );
    const [, auto, four] = mechanisms;
    assert.equal(typeof auto!.settled['stride'], 'number');
    assert.equal(four!.settled['stride'], 4);
    assert.notEqual(auto!.pairs, four!.pairs);
  });

  it('a comparison of analyses hears of changed numbers, not of new fields and times', () => {
    const before = { a: [{ recall: 0.5, milliseconds: 3 }] };
    assert.deepEqual(differences(before, { a: [{ recall: 0.5, milliseconds: 9, more: 1 }] }), []);
    assert.equal(differences(before, { a: [{ recall: 0.6 }] }).length, 1);
    assert.equal(differences(before, { a: [] }).length, 1);
  });
});
