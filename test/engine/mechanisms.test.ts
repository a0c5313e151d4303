import assert from 'node:assert/strict';
import { adaptiveSpan } from '../../engine/attention/mechanisms/adaptiveSpan';
import { dense } from '../../engine/attention/mechanisms/dense';
import { fixed } from '../../engine/attention/mechanisms/fixed';
import { local } from '../../engine/attention/mechanisms/local';
import { strided } from '../../engine/attention/mechanisms/strided';
import { fitSpan, keptMass } from '../../shared/softSpan';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertMatches, assertNoFuture, run } from '../oracle/check';
import { maskedAttention, softSpan, sparseTransformer } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';
import { float32 } from '../../engine/runtime/tensor';

/** Every shape the contract speaks of, small enough for the quadratic oracles. */
const shapes: Record<string, Shape> = {
  'one token': { queries: 1, causal: true },
  causal: { queries: 37, causal: true },
  bidirectional: { queries: 37 },
  'causal, several blocks': { queries: 203, causal: true, heads: 1 },
  'bidirectional, several blocks': { queries: 203, heads: 1 },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2, causal: true },
  'more keys than queries': { queries: 11, keys: 40, causal: true },
  'more keys than queries, bidirectional': { queries: 11, keys: 40 },
  'more queries than keys': { queries: 40, keys: 11 },
  'soft cap': { queries: 33, causal: true, softCap: 2 },
  alibi: { queries: 33, causal: true, bias: 'alibi' },
  'relative bias': { queries: 33, bias: 'relative' },
  'opaque bias': { queries: 33, causal: true, bias: 'opaque' },
  'opaque bias with holes': { queries: 33, bias: 'holes' },
  'model window': { queries: 50, causal: true, window: { before: 9, after: 0 } },
  'model window on both sides': { queries: 50, window: { before: 7, after: 4 } },
};

describe('mechanisms that keep a fixed set of pairs', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const [name, shape] of Object.entries(shapes)) {
    const input = randomInput(shape);
    describe(name, () => {
      it('dense', async () => {
        assertMatches(
          input,
          await run(dense, input, {}, runtime),
          maskedAttention(input, () => 1),
          'dense',
        );
      });
      for (const [ramp, spans] of [
        [8, [0, 3.25, 7, 30]],
        [2.5, [1, 40, 0.5, 4]],
        [64, [5, 12, 0, 300]],
      ] as const) {
        it(`adaptive-span, ramp ${ramp}`, async () => {
          const span = Float32Array.from(spans.slice(0, input.heads));
          const own = { span: float32(span, [input.heads]) };
          const attended = await run(adaptiveSpan, input, { ramp }, runtime, own);
          assertMatches(input, attended, maskedAttention(input, softSpan(span, ramp)), 'adaptive-span');
        });
      }
      for (const window of [1, 5, 16, 500]) {
        it(`local, window ${window}`, async () => {
          const attended = await run(local, input, { window }, runtime);
          const oracle = maskedAttention(input, (_h, p, j) => (Math.abs(p - j) < window ? 1 : 0));
          assertMatches(input, attended, oracle, 'local');
        });
      }
      for (const stride of [1, 4, 7, 100]) {
        it(`strided, stride ${stride}`, async () => {
          const attended = await run(strided, input, { stride }, runtime);
          assertMatches(
            input,
            attended,
            maskedAttention(input, sparseTransformer.strided(stride)),
            'strided',
          );
        });
      }
      for (const [block, summary] of [
        [1, 1],
        [8, 2],
        [7, 7],
        [9, 0],
        [150, 20],
      ] as const) {
        it(`fixed, block ${block}, summary ${summary}`, async () => {
          const attended = await run(fixed, input, { block, summary }, runtime);
          const oracle = maskedAttention(input, sparseTransformer.fixed(block, summary));
          assertMatches(input, attended, oracle, 'fixed');
        });
      }
    });
  }

  for (const [mechanism, params] of [
    [local, { window: 9 }],
    [strided, { stride: 5 }],
    [fixed, { block: 6, summary: 2 }],
    [dense, {}],
  ] as const) {
    it(`${mechanism.info.name} does not look ahead`, async () => {
      const input = randomInput({ queries: 40, causal: true });
      for (const token of [1, 17, 39]) {
        await assertNoFuture(input, i => run(mechanism, i, params, runtime), token, mechanism.info.name);
      }
    });
  }

  it('fits the smallest span that keeps the mass, averaged over queries', async () => {
    const input = randomInput({ queries: 60, causal: true, heads: 3, bias: 'alibi' });
    const { weights } = maskedAttention(input, () => 1);
    for (const [massTarget, ramp] of [
      [0.5, 4],
      [0.95, 8],
      [1, 8],
      [0, 8],
    ] as const) {
      const { own, lse } = await run(adaptiveSpan, input, { massTarget, ramp }, runtime);
      const spans = own['span']!.data as Float32Array;
      for (let head = 0; head < 3; head++) {
        const mean = (z: number) => {
          const mask = softSpan({ [head]: z, length: 3 }, ramp);
          let sum = 0;
          weights[head]!.forEach((row, i) => row.forEach((w, j) => (sum += w * mask(head, i, j))));
          return sum / 60;
        };
        assert.ok(mean(spans[head]!) >= massTarget - 1e-6, `head ${head} keeps ${massTarget}`);
        if (spans[head]! > 0)
          assert.ok(mean(spans[head]! - 1) < massTarget, `head ${head}: no smaller span does`);
      }
      assert.ok(lse!.every(Number.isFinite));
    }
  });

  it('spends no more than the budget on spans, and most of it', async () => {
    const input = randomInput({ queries: 200, causal: true, heads: 2 });
    const dense = 2 * ((200 * 201) / 2);
    const { pairs } = await run(adaptiveSpan, input, { budget: 0.4, ramp: 4 }, runtime);
    const spent = pairs.reduce((a, b) => a + b) / dense;
    assert.ok(spent <= 0.4 && spent > 0.38, `spends ${spent}`);
  });

  it('finds a planted distance', () => {
    const mass = new Float32Array(500);
    mass[123] = 1;
    assert.equal(fitSpan(mass, 1, 16), 123);
    assert.equal(fitSpan(mass, 0.5, 16), 115);
    assert.equal(keptMass(mass, 115, 16), 0.5);
  });

  it('refuses a summary longer than the block', () => {
    const input = randomInput({ queries: 4 });
    assert.match(fixed.refuses!(input, { block: 2, summary: 3 })!, /longer than the block/);
  });
});
