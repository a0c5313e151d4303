import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { local } from '../../engine/attention/mechanisms/local';
import { strided } from '../../engine/attention/mechanisms/strided';
import type { CoreInput } from '../../engine/attention/core';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { someHeads } from '../../engine/attention/kernels/subset';
import { Engine } from '../../engine/engine';
import type { CutModel } from '../../engine/model/cut/cutModel';
import type { CoreInfo, HeadAssignment, Setting } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { Analysis } from '../../engine/service/analysis';
import { assignedOutput } from '../../engine/service/changedRun';
import { assertClose } from '../oracle/check';
import { randomInput, type Shape } from '../oracle/inputs';
import { setting } from '../support/settings';

describe('a mechanism of its own in each head', function () {
  this.timeout(120_000);

  describe('the whole model', () => {
    const engine = new Engine();
    after(() => engine.dispose());
    const text = readFileSync('test/fixtures/sample.txt', 'utf8').slice(0, 1500);
    let heads: { core: number; head: number }[];

    before(async () => {
      const { cores } = await engine.analyze({
        id: 'a',
        model: 'bundled',
        text,
        device: 'cpu',
        maxTokens: 300,
        mechanisms: [],
        propagate: false,
      });
      heads = cores.flatMap(({ info }) =>
        Array.from({ length: info.heads }, (_, head) => ({ core: info.core, head })),
      );
    });

    const assign = (list: HeadAssignment[]) => engine.request('analysis/assign', { id: 'a', heads: list });
    const everywhere = (choice: Setting) => heads.map(head => ({ ...head, choice }));

    it('what one setting is fitted with serves others that have it alike, and no more', async () => {
      const heads = [{ core: 1, head: 0 }];
      const run = async (id: string, params: object) => {
        const choice = setting('sparsefinder', { rule: 'quantize', ...params });
        const given = heads.map(head => ({ ...head, choice }));
        return (await engine.request('analysis/assign', { id, heads: given })).heads[0]!;
      };
      const settings = [
        { bucketSize: 8, rank: 4 },
        { bucketSize: 16, rank: 4 },
        { bucketSize: 16, rank: 2 },
      ];
      const after: unknown[] = [];
      for (const params of settings) after.push(await run('a', params));
      for (const [at, params] of settings.entries()) {
        const id = `alone ${at}`;
        await engine.analyze({
          ...{ id, model: 'bundled', text, maxTokens: 300, mechanisms: [], propagate: false },
          device: 'cpu',
        });
        assert.deepEqual(await run(id, params), after[at]);
      }
    });

    const choices: Setting[] = [
      setting('local', { window: 20 }),
      setting('longformer', { window: 12, globals: '0,1' }),
      setting('bigbird', { block: 16, randomBlocks: 0 }),
    ];
    for (const choice of choices) {
      it(`all heads ${choice.name} is the model run on with ${choice.name}`, async () => {
        const whole = await engine.request('analysis/mechanism', {
          id: 'a',
          mechanism: choice,
          scope: 'propagated',
        });
        const assigned = await assign(everywhere(choice));
        assert.ok(whole.deltaLoss! > 0.01, 'the mechanism changes the model');
        assert.ok(Math.abs(assigned.effect.delta - whole.deltaLoss!) < 1e-5);
        assertClose(assigned.effect.perToken, whole.deltaLossPerToken!, 'loss of every token', 1e-3);
        assert.equal(assigned.pairs, whole.pairs);
        assert.equal(assigned.densePairs, whole.densePairs);
        for (const [at, head] of assigned.heads.entries()) {
          assert.ok(Math.abs(head.outputError - whole.heads[at]!.outputError) < 1e-5);
          assert.ok(Math.abs(head.recall! - whole.heads[at]!.recall!) < 1e-5);
        }
      });
    }

    it('no heads, and dense heads, change nothing', async () => {
      for (const list of [[], everywhere(setting('dense'))]) {
        const { effect, pairs, densePairs } = await assign(list);
        assert.ok(Math.abs(effect.delta) < 1e-6);
        assert.ok(effect.perToken.every(change => Math.abs(change) < 1e-4));
        assert.equal(pairs, densePairs);
      }
    });

    it('one head changes less than all', async () => {
      const choice = setting('local', { window: 4 });
      const one = await assign([{ ...heads[0]!, choice }]);
      const all = await assign(everywhere(choice));
      assert.notEqual(one.effect.delta, 0);
      assert.ok(Math.abs(one.effect.delta) < all.effect.delta);
      assert.ok(one.pairs > all.pairs);
    });
  });

  describe('one core', () => {
    let runtime: Runtime;
    before(async () => (runtime = await createRuntime('cpu')));
    after(() => runtime.dispose());
    const context = () => ({ runtime, signal: neverCancelled, own: {} });
    const plane = (input: CoreInput, output: Float32Array, head: number) => {
      const size = input.queries * input.valueDim;
      return output.subarray(head * size, (head + 1) * size);
    };
    const shapes: Record<string, Shape> = {
      'grouped queries': { heads: 6, kvHeads: 2, queries: 45, causal: true },
      'one key/value head': { heads: 4, kvHeads: 1, queries: 45, causal: true },
      alibi: { heads: 4, queries: 45, causal: true, bias: 'alibi' },
      'relative bias': { heads: 4, queries: 45, bias: 'relative' },
      'a bias per head': { heads: 4, queries: 45, bias: 'holes' },
      'a bias for all heads': { heads: 4, queries: 45, causal: true, bias: 'opaque' },
      'more keys than queries': { heads: 4, queries: 20, keys: 45, causal: true, bias: 'alibi' },
    };
    for (const [name, shape] of Object.entries(shapes)) {
      const input = randomInput(shape);

      it(`${name}: some heads are those heads of the whole core`, async () => {
        const whole = await denseOutput(input, context());
        for (const list of [[1], [2, 3], [3, 0], [0, 1, 2, 3]]) {
          const some = await denseOutput(someHeads(input, list), context());
          list.forEach((head, at) =>
            assertClose(plane(input, some, at), plane(input, whole, head), `head ${head}`, 1e-6),
          );
        }
      });

      it(`${name}: every head has its own mechanism`, async () => {
        const analysis = new Analysis('test', {} as CutModel, runtime, null as never);
        analysis.cores.push({
          result: { info: { core: 0, heads: input.heads } as CoreInfo, heads: [] },
          lse: new Float32Array(0),
          entropy: new Float32Array(0),
          byDistance: new Float32Array(input.heads),
          outline: input,
          tensors: { input, output: new Float32Array(0) },
        });
        const [near, far] = [setting('local', { window: 5 }), setting('strided', { stride: 7 })];
        const assigned = [near, null, far, null, near, far].slice(0, input.heads);
        const mixed = await assignedOutput(analysis, 0, input, assigned, neverCancelled);
        const expected = {
          local: (await local.attend(input, near!.params, context())).output,
          strided: (await strided.attend(input, far!.params, context())).output,
          dense: await denseOutput(input, context()),
        };
        for (const [head, choice] of assigned.entries()) {
          const whole = expected[(choice?.name ?? 'dense') as keyof typeof expected];
          assertClose(plane(input, mixed, head), plane(input, whole, head), `head ${head}`, 1e-6);
        }
        assert.notDeepEqual(plane(input, mixed, 0), plane(input, expected.dense, 0));
      });
    }
  });
});
