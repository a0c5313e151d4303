import assert from 'node:assert/strict';
import { lsh } from '../../engine/attention/mechanisms/lsh';
import { mechanisms, findMechanism } from '../../engine/attention/registry';
import { readParams } from '../../engine/attention/parameters';
import type { Cost } from '../../engine/attention/cost';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { run } from '../oracle/check';
import { randomInput } from '../oracle/inputs';

/** What a text without structure keeps differs from the expectation by this share at most. */
const EXPECTED = 0.2;

describe('cost formulas', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  it('every mechanism has one', () => {
    for (const { info, cost } of mechanisms) assert.ok(cost, info.name);
  });

  for (const mechanism of mechanisms) {
    const { name } = mechanism.info;
    it(`${name}: the pairs that are counted`, async () => {
      let compared = 0;
      for (const tokens of [1, 37, 128, 203]) {
        for (const causal of [true, false]) {
          const input = randomInput({ heads: 2, queries: tokens, dim: 8, valueDim: 6, causal });
          for (const given of [{}, ...mechanism.examples]) {
            const params = readParams(mechanism.info, given);
            if (mechanism.causalOnly && !causal) continue;
            if (mechanism.refuses?.(input, params)) continue;
            const attended = await run(mechanism, input, given, runtime);
            const spans = attended.own['span']?.data as Float32Array | undefined;
            const shape = { dim: 8, valueDim: 6, causal, ...(spans ? { spans } : {}) };
            const cost = mechanism.cost!(tokens, params, shape);
            const counted = (attended.pairs[0]! + attended.pairs[1]!) / 2;
            // Where queries and keys are put together apart, the expectation for those that are alike is the most.
            const apart = mechanism.tiesKeys?.(params) === false && counted < cost.pairs;
            if (!apart) check(cost, counted, tokens, `${name} ${JSON.stringify(given)} ${tokens} ${causal}`);
            compared++;
          }
        }
      }
      assert.ok(compared >= 4, `${compared} compared`);
    });
  }

  it('what the text decides, on a longer one: near the expectation', async () => {
    for (const causal of [true, false]) {
      const input = randomInput({ heads: 2, queries: 1024, dim: 32, valueDim: 8, causal });
      for (const [name, given] of [
        ['lsh', { rounds: 1, sharedQK: true }],
        ['lsh', { rounds: 4, sharedQK: true, bucketSize: 32 }],
        ['routing', {}],
        ['routing', { window: 64 }],
        ['sparsefinder', {}],
        ['sparsefinder', { rule: 'cluster' }],
        ['vertical-slash', { vertical: 60, slash: 150 }],
      ] as const) {
        const mechanism = findMechanism(name);
        const params = readParams(mechanism.info, given);
        if (mechanism.refuses?.(input, params)) continue;
        const attended = await run(mechanism, input, given, runtime);
        const cost = mechanism.cost!(1024, params, { dim: 32, valueDim: 8, causal });
        const counted = (attended.pairs[0]! + attended.pairs[1]!) / 2;
        check(cost, counted, 1024, `${name} ${JSON.stringify(given)} ${causal}`);
      }
    }
  });

  it('LSH whose queries and keys hash apart keeps no more than that', async () => {
    for (const given of [{ rounds: 1 }, { rounds: 4, bucketSize: 32 }]) {
      const input = randomInput({ heads: 2, queries: 1024, dim: 32, valueDim: 8, causal: true });
      const { pairs } = await run(lsh, input, given, runtime);
      const cost = lsh.cost!(1024, readParams(lsh.info, given), { dim: 32, valueDim: 8, causal: true });
      assert.ok(pairs[0]! <= cost.pairs && pairs[0]! > 0.3 * cost.pairs, `${pairs[0]} of ${cost.pairs}`);
    }
  });

  it('what is documented of LSH is what its formula counts, and what a run counts', async () => {
    const [queries, bucketSize] = [2048, 32];
    const input = randomInput({ heads: 1, queries, dim: 32, valueDim: 8, causal: true });
    const given = { rounds: 1, bucketSize, sharedQK: true };
    const documented = 1 * queries * bucketSize;
    assert.match(lsh.about.cost, /^rounds · N · bucketSize pairs/);
    const { pairs } = lsh.cost!(queries, readParams(lsh.info, given), { dim: 32, valueDim: 8, causal: true });
    const counted = (await run(lsh, input, given, runtime)).pairs[0]!;
    for (const number of [pairs, counted]) {
      assert.ok(Math.abs(number / documented - 1) < 0.05, `${number} where ${documented} is documented`);
    }
  });

  it('routing with local heads costs what its local and its routed heads cost', async () => {
    const { cost, info } = findMechanism('routing');
    const input = randomInput({ heads: 4, queries: 512, dim: 32, valueDim: 8, causal: true });
    const given = { localHeads: 4, localWindow: 48, window: 16 };
    const shape = { dim: 32, valueDim: 8, causal: true, layerHeads: 4 };
    const { pairs } = await run(findMechanism('routing'), input, given, runtime);
    const counted = [...pairs].reduce((sum, one) => sum + one / 4, 0);
    const local = cost!(512, readParams(info, given), shape);
    const none = cost!(512, readParams(info, { ...given, localHeads: 0 }), shape);
    const half = cost!(512, readParams(info, { ...given, localHeads: 2 }), shape);
    assert.equal(half.pairs, (local.pairs + none.pairs) / 2);
    // Random scores are served best by whatever keeps most: here the window, in every head.
    assert.equal(local.pairs, counted);
    assert.equal(local.flops, 2 * local.pairs * 40);
  });

  it("BERT-base's memory: 12.6 MB a layer, 151 MB, 604 MB, 2.42 GB", () => {
    const { cost } = findMechanism('dense');
    const bytes = (tokens: number) => 12 * cost!(tokens, {}, { dim: 64, valueDim: 64, causal: false }).bytes;
    assert.equal(bytes(512), 12 * 2 ** 20);
    assert.equal(12 * bytes(512), 144 * 2 ** 20);
    assert.equal(12 * bytes(1024), 603_979_776);
    assert.equal(12 * bytes(2048), 2_415_919_104);
  });

  it('operations of dense attention are 2 n^2 (d + dv)', () => {
    const { cost } = findMechanism('dense');
    assert.equal(cost!(100, {}, { dim: 64, valueDim: 32, causal: false }).flops, 2 * 100 * 100 * 96);
  });
});

function check(cost: Cost, counted: number, tokens: number, what: string): void {
  if (cost.count === 'exact') return assert.equal(counted, cost.pairs, what);
  if (cost.count === 'most') return assert.ok(counted <= cost.pairs, `${what}: ${counted} > ${cost.pairs}`);
  if (tokens < 128) return;
  const ratio = counted / cost.pairs;
  assert.ok(Math.abs(ratio - 1) <= EXPECTED, `${what}: ${counted} counted, ${cost.pairs} expected`);
}
