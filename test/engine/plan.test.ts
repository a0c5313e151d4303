import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { densePairs } from '../../engine/attention/core';
import { mechanisms } from '../../engine/attention/registry';
import { readParams } from '../../engine/attention/parameters';
import { Engine } from '../../engine/engine';
import { CancelledError, RefusedError, UsageError } from '../../engine/errors';
import { textOf, type Plan, type PlanCandidate } from '../../shared/protocol/engine';
import { float32 } from '../../engine/runtime/tensor';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { inductionModel, needleStart, needleText, writePlanted } from '../fixtures/plantedModels';
import { run } from '../oracle/check';
import { randomInput, type Shape } from '../oracle/inputs';

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('settings that spend a share of the pairs', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  /** Pairs that the text decides on can only be foreseen roughly. */
  const foreseen = new Set(['lsh', 'routing', 'sparsefinder', 'vertical-slash']);
  const shapes: Record<string, Shape> = {
    causal: { heads: 1, queries: 300, causal: true },
    bidirectional: { heads: 1, queries: 300 },
    'model window': { heads: 1, queries: 300, causal: true, window: { before: 99, after: 0 } },
    'more keys than queries': { heads: 1, queries: 120, keys: 300, causal: true },
    'short text': { heads: 1, queries: 20, causal: true },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    it(name, async () => {
      const input = randomInput(shape);
      const met = new Set<string>();
      for (const mechanism of mechanisms) {
        for (const share of [0.02, 0.1, 0.4]) {
          for (const params of mechanism.settings?.(input, share) ?? []) {
            if (mechanism.refuses?.(input, readParams(mechanism.info, params))) continue;
            const { pairs, lse } = await run(mechanism, input, params, runtime);
            const what = `${mechanism.info.name} ${JSON.stringify(params)} at ${share}`;
            const spent = pairs[0]! / densePairs(input);
            const rough = foreseen.has(mechanism.info.name);
            assert.ok(spent <= share * (rough ? 3 : 1), `${what} spends ${spent}`);
            assert.ok(lse, `${what} keeps no set of pairs`);
            if (spent > share / 3) met.add(`${mechanism.info.name} ${share}`);
          }
        }
      }
      assert.ok(met.has('local 0.4') && met.has('longformer 0.4'));
      if (shape.queries > 100) {
        for (const each of [
          'fixed',
          'strided',
          'bigbird',
          'adaptive-span',
          'lsh',
          'routing',
          'sparsefinder',
        ]) {
          if (name !== 'model window') assert.ok(met.has(`${each} 0.4`), `${each} has a setting`);
        }
      }
    });
  }
});

it('adaptive-span: a span given as a parameter is the span of every head', async () => {
  const runtime = await createRuntime('cpu');
  try {
    const input = randomInput({ heads: 2, queries: 60, causal: true });
    const mechanism = mechanisms.find(({ info }) => info.name === 'adaptive-span')!;
    const span = float32(Float32Array.of(12.5, 12.5), [2]);
    const given = await run(mechanism, input, { ramp: 4 }, runtime, { span });
    const asked = await run(mechanism, input, { ramp: 4, span: 12.5 }, runtime);
    assert.deepEqual(asked.output, given.output);
    assert.deepEqual(asked.pairs, given.pairs);
  } finally {
    await runtime.dispose();
  }
});

describe('plan', function () {
  this.timeout(300_000);
  const engine = new Engine();
  const folder = mkdtempSync(join(tmpdir(), 'plan-'));
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });

  const start = (id: string, text: string, maxTokens: number | null, model = 'bundled') =>
    engine.analyze({ id, model, text, device: 'cpu', maxTokens, mechanisms: [], propagate: false });
  const plan = (id: string, budget: number, names: string[], maxRuns: number) =>
    engine.request('analysis/plan', { id, budget, mechanisms: names, maxRuns });
  const text = readFileSync('test/fixtures/sample.txt', 'utf8');

  it('of a model that was made with entmax: what-ifs have no recall, and are chosen by what they change', async () => {
    await start('made', text.slice(0, 600), 100, 'zoo/entmax');
    const found = await plan('made', 0.3, ['local', 'streaming'], 16);
    assertSound(found, 16);
    for (const { recall, choice } of found.heads) {
      assert.equal(recall, null);
      assert.ok(['local', 'streaming'].includes(choice.name));
    }
  });

  /** What must hold of every plan. */
  function assertSound(found: Plan, maxRuns: number): void {
    assert.ok(found.pairs <= found.budget * found.densePairs);
    assert.equal(sum(found.heads.map(({ pairs }) => pairs)), found.pairs);
    assert.equal(sum(found.heads.map(head => head.densePairs)), found.densePairs);
    assert.ok(found.tried.length <= maxRuns, `${found.tried.length} runs`);
    assert.ok(found.tried.some(({ kept }) => kept));
    for (const { share } of [...found.uniform, ...(found.floor ? [found.floor] : [])])
      assert.ok(share <= found.budget + 1e-12);
    for (const { measured, delta, interval } of found.curve)
      assert.ok(!interval || (measured && interval.low <= delta && delta <= interval.high));
    const baselines = [...found.uniform.map(({ effect }) => effect.delta), found.random.least];
    const less = baselines.map(delta => found.effect.delta - delta);
    if (found.wins === 'yes') assert.ok(less.every(difference => difference < 0));
    if (found.wins === 'no') assert.ok(less.some(difference => difference > 0));
    const defeat = found.notes.find(({ kind }) => kind === 'defeat')?.text;
    if (found.wins === 'yes') assert.equal(defeat, undefined);
    else assert.match(defeat!, found.wins === 'no' ? /does not win/ : /^Undecided/);
    assert.ok(found.random.least <= found.random.mean && found.random.mean <= found.random.most);
    const deltas = found.uniform.map(({ effect }) => effect.delta);
    assert.deepEqual(
      deltas,
      [...deltas].sort((a, b) => a - b),
    );
    const byHead = new Map<string, PlanCandidate[]>();
    for (const one of found.candidates) {
      const key = `${one.core}.${one.head}`;
      byHead.set(key, [...(byHead.get(key) ?? []), one]);
    }
    assert.equal(byHead.size, found.heads.length);
    for (const list of byHead.values()) {
      assert.equal(list[0]!.choice.name, 'dense');
      for (const one of list.filter(({ onFront }) => onFront)) {
        assert.ok(!list.some(other => other.pairs < one.pairs && other.outputError < one.outputError));
      }
    }
    assert.deepEqual(
      found.curve.map(({ share }) => share),
      found.curve.map(({ share }) => share).sort((a, b) => a - b),
    );
    const predicted = found.curve.filter(({ measured }) => !measured).map(({ delta }) => delta);
    assert.deepEqual(
      predicted,
      [...predicted].sort((a, b) => b - a),
      'more pairs never promise more loss',
    );
    assert.deepEqual(found.curve.at(-1), { share: 1, delta: 0, measured: true });
  }

  describe('bundled model', () => {
    const names = ['local', 'longformer', 'vertical-slash'];
    let found: Plan;
    before(async () => {
      await start('a', text, 200);
      found = await plan('a', 0.1, names, 45);
    });

    it('stays within the budget and tells what it was compared with', () => {
      assertSound(found, 45);
      assert.ok(found.uniform.length >= 3);
      assert.equal(found.random.runs, 5);
    });

    it('loses less than the best uniform choice and than chance', () => {
      assert.notEqual(found.wins, 'no', found.notes.map(textOf).join(' '));
      assert.ok(found.effect.delta < found.uniform[0]!.effect.delta);
      assert.ok(
        found.effect.divergence! < 0.8 * Math.min(...found.uniform.map(one => one.effect.divergence!)),
      );
    });

    it('is the model run on with its mechanisms', async () => {
      const assigned = await engine.request('analysis/assign', { id: 'a', heads: found.heads });
      assert.ok(Math.abs(assigned.effect.delta - found.effect.delta) < 1e-6);
      assert.equal(assigned.pairs, found.pairs);
      for (const [at, head] of assigned.heads.entries()) {
        assert.equal(head.outputError, found.heads[at]!.outputError);
      }
    });

    it('makes do with few runs, in groups of heads; draws and chooses the same again', async () => {
      const few = await plan('a', 0.1, ['local', 'longformer'], 16);
      const again = await plan('a', 0.1, ['local', 'longformer'], 16);
      assert.deepEqual(again.heads, few.heads);
      assert.deepEqual(again.random, few.random);
      assertSound(few, 16);
      assert.match(few.tried.map(({ what }) => what).join('\n'), /only heads 0\.0 to /);
    });

    it('makes fewer runs rather than take longer than it is given, and says so', async () => {
      const given = { id: 'a', budget: 0.1, mechanisms: ['local', 'longformer'], maxRuns: 40 };
      const hasty = await engine.request('analysis/plan', { ...given, maxSeconds: 0.5 });
      assertSound(hasty, 40);
      // What the plan is compared with is run all the same.
      assert.ok(hasty.tried.length < 16 && hasty.random.runs === 5 && hasty.uniform.length >= 2);
      const notes = hasty.notes.filter(({ kind }) => kind === 'time');
      assert.match(notes.map(textOf).join(), new RegExp(`run ${hasty.tried.length} times and not 40`));
      assert.ok(found.notes.every(({ kind }) => kind !== 'time'));
    });

    it('names what looks at the whole text', () => {
      const looking = found.heads.some(({ choice }) =>
        ['vertical-slash', 'sparsefinder'].includes(choice.name),
      );
      assert.equal(/looking at the whole text/.test(found.notes.map(textOf).join(' ')), looking);
    });

    it('of one mechanism uses no other', async () => {
      const local = await plan('a', 0.05, ['local'], 30);
      assertSound(local, 30);
      assert.ok(local.heads.every(({ choice }) => ['local', 'dense'].includes(choice.name)));
    });

    it('everything may be spent', async () => {
      const all = await plan('a', 1, ['local'], 8);
      assert.ok(Math.abs(all.effect.delta) < 1e-3);
      // A window as long as the text keeps as much here, and less of a longer one.
      assert.ok(all.heads.some(({ choice }) => choice.name === 'dense'));
      for (const { choice, pairs, densePairs } of all.heads)
        assert.ok(choice.name === 'dense' || pairs < densePairs, choice.name);
    });

    it('fitted to two texts spends their budget together', async () => {
      await start('b', text.slice(4000), 200);
      const both = await engine.plan(['a', 'b'], {
        budget: 0.1,
        mechanisms: ['local', 'longformer'],
        maxRuns: 16,
      });
      assertSound(both.plan, 16);
      const [a, b] = [await engine.testPlan('a', both), await engine.testPlan('b', both)];
      const tokens = [199, 199];
      const mean = (a.effect.delta * tokens[0]! + b.effect.delta * tokens[1]!) / sum(tokens);
      assert.ok(Math.abs(mean - both.plan.effect.delta) < 1e-5);
      assert.equal(a.uniform.length, both.uniform.length);
    });

    it('refuses what cannot be', async () => {
      await assert.rejects(plan('a', 0, [], 10), UsageError);
      await assert.rejects(plan('a', 1.5, [], 10), UsageError);
      await assert.rejects(plan('a', 0.1, ['magic'], 10), UsageError);
      await assert.rejects(plan('a', 0.1, ['performer'], 10), RefusedError);
      await assert.rejects(plan('a', 0.0001, ['local'], 10), /spends so few pairs: none has a setting/);
    });

    it('can be cancelled between runs, and the analysis lives on', async () => {
      const cancelled = new AbortController();
      let told = 0;
      const loud = new Engine((name, params) => {
        if (name !== 'analysis/progress' || (params as { phase: string }).phase !== 'plan') return;
        const { fraction, message } = params as { fraction: number; message: string };
        assert.ok(fraction >= 0 && fraction <= 1 && message !== '');
        if (fraction > 0.5 && ++told === 3) cancelled.abort();
      });
      try {
        const params = { id: 'c', model: 'bundled', text, device: 'cpu' as const, maxTokens: 64 };
        await loud.analyze({ ...params, mechanisms: [], propagate: false });
        const options = { id: 'c', budget: 0.2, mechanisms: ['local'], maxRuns: 40 };
        await assert.rejects(loud.request('analysis/plan', options, cancelled.signal), CancelledError);
        assert.equal(told, 3);
        assertSound(await loud.request('analysis/plan', { ...options, maxRuns: 12 }), 12);
      } finally {
        await loud.dispose();
      }
    });
  });

  for (const [name, measure] of [
    ['bert-eager-script', 'output'],
    ['bart-eager-script', 'loss'],
    ['llama-eager-script', 'loss'],
  ] as const) {
    it(`${name}: the change of the ${measure}`, async function () {
      const model = join(__dirname, '../../../shared/fixtures/models', name);
      if (!existsSync(model)) {
        console.warn(`SKIPPED: there is no ${model}`);
        this.skip();
      }
      await start(name, text.slice(0, 600), 80, model);
      const found = await plan(name, 0.3, ['local', 'longformer', 'lsh'], 25);
      assertSound(found, 25);
      assert.equal(found.effect.measure, measure);
      if (measure === 'output')
        assert.ok(found.wins !== 'no' && found.effect.delta >= 0, found.notes.map(textOf).join(' '));
      await engine.request('analysis/dispose', { id: name });
    });
  }

  it('keeps a needle 3,000 tokens back', async () => {
    const [distance, words] = [3000, 8];
    writePlanted(join(folder, 'induction'), inductionModel());
    await start('needle', needleText(distance, words), null, join(folder, 'induction'));
    const found = await plan('needle', 0.05, ['local', 'longformer', 'vertical-slash'], 25);
    assertSound(found, 25);
    // The second passage is foretold from its second word on.
    const first = needleStart(distance);
    const foretold = Array.from({ length: words - 1 }, (_, t) => first + t);
    const worst = (effect: Plan['effect']) => Math.max(...foretold.map(i => effect.perToken[i]!));
    assert.ok(worst(found.effect) < 0.1, `the plan loses ${worst(found.effect)} nats`);
    const window = found.uniform.find(({ choice }) => choice.name === 'local')!;
    assert.ok(worst(window.effect) > 1, 'a window loses the needle');
    const lost = await engine.request('analysis/worst', {
      id: 'needle',
      heads: found.heads,
      queries: foretold,
    });
    for (const [t, one] of lost.entries()) {
      if (one.lost) assert.ok(one.lost.mass < 0.05, `query ${foretold[t]} lost key ${one.lost.key}`);
    }
  });
});
