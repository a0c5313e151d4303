import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import type { Plan } from '../../shared/protocol/engine';
import { DENSE } from '../../shared/setting';
import { bareModel } from '../support/bareModel';
import { setting } from '../support/settings';

describe('what exported forms of a plan spend', function () {
  this.timeout(240_000);
  const engine = new Engine();
  const folder = mkdtempSync(join(tmpdir(), 'forms-'));
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const common = { model: 'bundled', device: 'cpu', mechanisms: [], propagate: false } as const;
  const text = readFileSync('test/fixtures/sample.txt', 'utf8');

  it('DuoAttention has one window for all streaming heads: the widest, with its loss', async () => {
    const { cores } = await engine.analyze({ id: 'a', text, maxTokens: 80, ...common });
    const heads = cores.flatMap(({ info }) =>
      Array.from({ length: info.heads }, (_, head) => ({
        core: info.core,
        head,
        choice: head === 0 ? DENSE : setting('local', { window: info.core === 0 ? 20 : 8 }),
        recall: 0.5,
      })),
    );
    const plan = { heads } as unknown as Plan;
    const { form } = await engine.request('analysis/exportPlan', { id: 'a', plan, format: 'duo' });
    const written = heads.map(({ core, head, choice }) => ({
      core,
      head,
      choice: choice === DENSE ? DENSE : setting('streaming', { sinks: 0, window: 20 }),
    }));
    const { effect, pairs, densePairs } = await engine.request('analysis/assign', {
      id: 'a',
      heads: written,
    });
    assert.deepEqual(form!.spending.pairs, { own: pairs, dense: densePairs });
    assert.equal(form!.effect.delta, effect.delta);
    const planned = await engine.request('analysis/assign', { id: 'a', heads });
    assert.ok(pairs > planned.pairs, 'more than was planned');
  });

  it('a text that predicts nothing has no heads that matter, and says so', async () => {
    await engine.analyze({ id: 'one', text: 'a', maxTokens: 1, ...common, model: await bareModel(folder) });
    await assert.rejects(engine.request('analysis/ablate', { id: 'one' }), (error: Error) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /No token of this text is predicted/);
      return true;
    });
  });
});
