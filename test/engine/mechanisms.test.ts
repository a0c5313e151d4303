import assert from 'node:assert/strict';
import { fixed } from '../../engine/attention/fixed';
import { local } from '../../engine/attention/local';
import { strided } from '../../engine/attention/strided';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertMatches, assertNoFuture, run } from '../oracle/check';
import { maskedAttention, sparseTransformer } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';

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
  ] as const) {
    it(`${mechanism.info.name} does not look ahead`, async () => {
      const input = randomInput({ queries: 40, causal: true });
      for (const token of [1, 17, 39]) {
        await assertNoFuture(input, i => run(mechanism, i, params, runtime), token, mechanism.info.name);
      }
    });
  }

  it('refuses a summary longer than the block', () => {
    const input = randomInput({ queries: 4 });
    assert.match(fixed.refuses!(input, { block: 2, summary: 3 })!, /longer than the block/);
  });
});
