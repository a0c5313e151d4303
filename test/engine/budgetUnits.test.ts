import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { CoreInput } from '../../engine/attention/core';
import { findMechanism } from '../../engine/attention/registry';
import { Engine } from '../../engine/engine';
import { denseReads, readsOf, spendingOf } from '../../engine/measure/spending';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { BUDGET_UNITS } from '../../shared/protocol/engine';
import { run } from '../oracle/check';
import { hidden } from '../oracle/edges';
import { randomInput } from '../oracle/inputs';
import { setting } from '../support/settings';

describe('budgets in other units than pairs', function () {
  this.timeout(240_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  /** Counted from the whole matrix of what each head keeps. */
  function counted(input: CoreInput, keeps: (query: number, key: number) => boolean) {
    const { queries, keys } = input;
    const blocks = new Set<string>();
    let most = 0;
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < keys; j++) {
        if (keeps(i, j)) blocks.add(`${Math.floor(i / 128)} ${Math.floor(j / 128)}`);
      }
      let held = 0;
      for (let j = 0; j <= i; j++) {
        let needed = false;
        for (let later = i; later < queries && !needed; later++) needed = keeps(later, j);
        if (needed) held++;
      }
      most = Math.max(most, held);
    }
    return { blocks: blocks.size, held: most };
  }

  it('blocks and held keys are those of whole matrices', async () => {
    const input = randomInput({ queries: 300, heads: 2, dim: 8, valueDim: 8, causal: true });
    const sees = (i: number, j: number) => !hidden(input, i, j);
    const dense = counted(input, sees);
    for (const [choice, keeps] of [
      [setting('local', { window: 40 }), (i: number, j: number) => i - j < 40],
      [setting('streaming', { sinks: 5, window: 20 }), (i: number, j: number) => j < 5 || i - j < 20],
      [setting('strided', { stride: 30 }), (i: number, j: number) => i - j <= 30 || (i - j) % 30 === 0],
    ] as const) {
      const attended = await run(findMechanism(choice.name), input, choice.params, runtime);
      const found = spendingOf(choice, input, attended);
      const expected = counted(input, (i, j) => sees(i, j) && keeps(i, j));
      for (const { pairs, flops, blocks, kv } of found) {
        assert.deepEqual(blocks, { own: expected.blocks, dense: dense.blocks }, choice.key);
        assert.deepEqual(kv, { own: 32 * expected.held, dense: 32 * dense.held }, choice.key);
        assert.equal(flops.own, 2 * 16 * pairs.own, 'nothing is chosen');
      }
    }
  });

  it('what dense attention reads has a formula', async () => {
    for (const tokens of [1, 127, 128, 129, 300])
      for (const causal of [true, false]) {
        const input = randomInput({ queries: tokens, heads: 1, dim: 8, valueDim: 8, causal });
        const whole = setting('local', { window: tokens });
        const attended = await run(findMechanism('local'), input, whole.params, runtime);
        const [found] = spendingOf(whole, input, attended);
        const { blocks, held } = denseReads(tokens, causal);
        assert.deepEqual([blocks, 32 * held], [found!.blocks.dense, found!.kv.dense], `${tokens} ${causal}`);
        assert.deepEqual(readsOf(input, attended, 0), { blocks, held });
      }
  });

  it('operations include what choosing costs, and a group of heads holds what any of them needs', async () => {
    const input = randomInput({ queries: 200, heads: 4, kvHeads: 2, dim: 8, valueDim: 8, causal: true });
    const choice = setting('vertical-slash', {
      vertical: 10,
      slash: 10,
      last: 16,
      forcedVertical: 1,
      forcedSlash: 1,
    });
    const found = spendingOf(
      choice,
      input,
      await run(findMechanism(choice.name), input, choice.params, runtime),
    );
    for (const { pairs, flops } of found) assert.equal(flops.own, 2 * 16 * pairs.own + 2 * 16 * 200 * 8);
    assert.equal(found[0]!.kv.own, found[1]!.kv.own);
  });

  describe('on the bundled model', () => {
    const engine = new Engine();
    before(async () => {
      const text = readFileSync('test/fixtures/sample.txt', 'utf8');
      const common = { model: 'bundled', text, device: 'cpu', mechanisms: [], propagate: false } as const;
      await engine.analyze({ id: 'a', maxTokens: 256, ...common });
    });
    after(() => engine.dispose());

    for (const [unit, budget, names] of [
      // Rows that vote are charged: here they alone are a quarter of the dense operations.
      ['flops', 0.4, ['local', 'vertical-slash']],
      ['kv', 0.2, ['local', 'streaming']],
      ['blocks', 0.7, ['chunked']],
    ] as const) {
      it(`a setting comes near to a budget in ${unit}, from below`, async () => {
        for (const name of names) {
          const asked = { id: 'a', budget, unit, mechanisms: [name] };
          const [found] = await engine.request('analysis/atBudget', asked);
          const { own, dense } = found!.spending![unit];
          assert.ok(own <= budget * dense, `${found!.setting.key} spends ${own / dense}`);
          assert.ok(own >= 0.85 * budget * dense, `${found!.setting.key} spends ${own / dense}`);
          assert.ok(found!.notes.some(({ kind, text }) => kind === 'budget' && / of the /.test(text)));
        }
      });
    }

    it('says so where the votes alone cost more', async () => {
      const asked = { id: 'a', budget: 0.2, unit: 'flops', mechanisms: ['vertical-slash'] } as const;
      const ask = engine.request('analysis/atBudget', { ...asked, mechanisms: [...asked.mechanisms] });
      await assert.rejects(ask, /no setting that spends such a share of the operations/);
    });

    it('a plan spends in the unit it is asked for, and says what it spends in all', async () => {
      const plan = await engine.request('analysis/plan', {
        id: 'a',
        budget: 0.25,
        unit: 'kv',
        tied: false,
        mechanisms: ['local'],
        maxRuns: 3,
      });
      assert.equal(plan.unit, 'kv');
      const spent = (unit: (typeof BUDGET_UNITS)[number]) =>
        plan.spending![unit].own / plan.spending![unit].dense;
      assert.ok(spent('kv') <= 0.25 && spent('kv') > 0.2, `${spent('kv')}`);
      assert.ok(
        spent('pairs') > spent('kv'),
        'a window of a quarter of the text is more than a quarter of the pairs',
      );
      assert.equal(plan.spending!.pairs.own, plan.pairs);
    });
  });
});
