import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import type { Mechanism } from '../../engine/attention/mechanism';
import { readParams } from '../../engine/attention/parameters';
import { findMechanism, mechanisms } from '../../engine/attention/registry';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, type Tensor } from '../../engine/runtime/tensor';
import { assertClose, assertMatches, assertNoFuture, assertRows, run } from '../oracle/check';
import { maskedAttention } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';

/** What holds for every mechanism of the registry, whatever its rule. */
const shapes: Record<string, Shape> = {
  'one token': { queries: 1 },
  'five tokens, fewer than any default': { queries: 5 },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2 },
  'more keys than queries': { queries: 11, keys: 40 },
  'one query, many keys': { queries: 1, keys: 33 },
  'wide values': { queries: 24, dim: 4, valueDim: 12 },
  'narrow values': { queries: 24, dim: 12, valueDim: 1 },
  'a bias with holes and a query that sees nothing': { queries: 30, bias: 'holes' },
};

/** Parameters that make the most of few tokens. */
const small: Record<string, Record<string, unknown>> = {
  local: { window: 5 },
  strided: { stride: 4 },
  fixed: { block: 5, summary: 2 },
  longformer: { window: 3, globals: '0,4' },
  bigbird: { block: 4, randomBlocks: 1 },
  'adaptive-span': { ramp: 3, massTarget: 0.6 },
  lsh: { bucketSize: 4 },
  'vertical-slash': { vertical: 31, slash: 101, last: 4 },
  'transformer-xl': { segment: 6, memory: 4 },
  compressive: { segment: 6, memory: 4, compressed: 3, rate: 2 },
  bp: { k: 2 },
  performer: { features: 24 },
  linformer: { rank: 4 },
  nystrom: { landmarks: 4 },
  continuous: { basis: 8 },
};

function served(mechanism: Mechanism, input: CoreInput, params: Record<string, unknown>): boolean {
  return !mechanism.refuses?.(input, readParams(mechanism.info, params));
}

describe('every mechanism', function () {
  this.timeout(120_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const mechanism of mechanisms) {
    const { name, causalSelection } = mechanism.info;
    describe(name, () => {
      for (const [what, shape] of Object.entries(shapes)) {
        it(`${what}: rows times values are the output, hidden queries keep nothing`, async () => {
          let runs = 0;
          for (const causal of [true, false]) {
            for (const params of [{}, small[name] ?? {}]) {
              const input = randomInput({ ...shape, causal });
              if (!served(mechanism, input, params)) continue;
              runs++;
              const attended = await run(mechanism, input, params, runtime);
              assert.ok(attended.output.every(Number.isFinite), 'numbers');
              assertRows(input, attended, null, name, name === 'performer' ? 1e-4 : undefined);
              for (let h = 0; h < input.heads; h++) checkHead(input, attended, h);
            }
          }
          if (runs === 0) assert.ok(shape.bias, 'is refused for a bias only');
        });
      }

      it('says what its parameters came to, and given these is the same', async () => {
        // Spans are fitted to each head: they stand in the heads' results.
        const open = mechanism.info.parameters.filter(p => p.defaultRule && name !== 'adaptive-span');
        for (const shape of [
          { queries: 150, causal: true },
          { queries: 150 },
          { queries: 30, keys: 80, causal: true },
        ]) {
          const input = randomInput(shape);
          if (!served(mechanism, input, {})) continue;
          const settled = mechanism.settle?.(input, readParams(mechanism.info, {})) ?? {};
          assert.deepEqual(Object.keys(settled).sort(), open.map(p => p.name).sort());
          if (open.length === 0) continue;
          const [auto, given] = [{}, settled].map(params => run(mechanism, input, params, runtime));
          assert.deepEqual((await given!).output, (await auto!).output);
        }
      });

      if (causalSelection) {
        it('does not look ahead', async () => {
          const input = randomInput({ queries: 40, causal: true });
          const params = small[name] ?? {};
          if (!served(mechanism, input, params)) return assert.fail('a causal mechanism serves causal cores');
          // Own tensors are fitted beforehand: what is fitted to a text may know all of it.
          const { own } = await run(mechanism, input, params, runtime);
          for (const token of [1, 17, 39]) {
            await assertNoFuture(
              input,
              changed => run(mechanism, changed, params, runtime, own),
              token,
              name,
            );
          }
        });
      } else {
        it('says that its choice looks at the whole text, or cannot be causal', () => {
          const causal = randomInput({ queries: 40, causal: true });
          assert.ok(mechanism.info.causalSelection === false || !served(mechanism, causal, {}));
        });
      }
    });
  }

  function checkHead(input: CoreInput, attended: Awaited<ReturnType<typeof run>>, head: number): void {
    const { queries, keys, rule } = input;
    assert.ok(attended.pairs[head]! >= 0 && Number.isFinite(attended.pairs[head]));
    if (rule.bias?.kind !== 'opaque') return;
    for (let i = 0; i < queries; i++) {
      const row = rule.bias.data.subarray((head * queries + i) * keys, (head * queries + i + 1) * keys);
      if (row.some(x => x > -Infinity)) continue;
      // Shaped keeps the token itself, which is no attention.
      if (!attended.lse) continue;
      assert.equal(attended.lse[head * queries + i], -Infinity, `query ${i} is uncovered`);
      assert.equal(attended.row(head, i).keys.length, 0);
    }
  }

  const identity = (size: number): Tensor =>
    float32(
      Float32Array.from({ length: size * size }, (_, t) => Number(t % size === Math.floor(t / size))),
      [size, size],
    );
  const [tokens, heads, dim] = [37, 2, 8];
  const full: Record<string, [params: Record<string, unknown>, own?: Record<string, Tensor>][]> = {
    dense: [[{}]],
    local: [[{ window: tokens }], [{ window: 10 * tokens }]],
    strided: [[{ stride: tokens }], [{ stride: 1 }]],
    fixed: [[{ block: tokens, summary: 0 }], [{ block: 5, summary: 5 }]],
    longformer: [[{ window: tokens }], [{ window: 0, globals: [...Array(tokens).keys()].join() }]],
    bigbird: [[{ block: tokens }], [{ block: 4, globalBlocks: 10 }]],
    'adaptive-span': [[{ span: tokens }], [{ massTarget: 1, ramp: 0 }]],
    lsh: [[{ bucketSize: tokens, rounds: 1 }], [{ bucketSize: 3 * tokens, rounds: 3 }]],
    routing: [[{ window: tokens, clusters: 1 }], [{ window: tokens, clusters: 4 }]],
    sparsefinder: [
      [{ rule: 'distance', threshold: 1e6 }],
      [{ rule: 'quantize', bucketSize: tokens }],
      [{ rule: 'cluster', clusters: 1 }],
    ],
    'vertical-slash': [[{ vertical: tokens, slash: 1 }], [{ vertical: 1, slash: tokens }]],
    'transformer-xl': [[{ segment: tokens }], [{ segment: 5, memory: tokens }]],
    compressive: [[{ segment: 5, memory: tokens }], [{ segment: 7, memory: 3, compressed: tokens, rate: 1 }]],
    bp: [[{ k: tokens }]],
    entmax: [[{ alpha: 1 }]],
    linformer: [[{}, { projection_k: identity(tokens), projection_v: identity(tokens) }]],
    nystrom: [[{ landmarks: tokens, pinv: 'exact' }]],
    shaped: [[{ alpha: 0, beta: 1, gamma: 0 }]],
  };
  for (const [name, settings] of Object.entries(full)) {
    it(`${name} with everything it can keep is dense`, async () => {
      const mechanism = findMechanism(name);
      let runs = 0;
      for (const causal of [true, false]) {
        for (const [params, own] of settings) {
          const input = randomInput({ queries: tokens, heads, dim, causal });
          if (!served(mechanism, input, params)) continue;
          runs++;
          const attended = await run(mechanism, input, params, runtime, own);
          const expected = maskedAttention(input, () => 1);
          // A mean over clusters is divided by their number + 1e-5.
          const tolerance = name === 'routing' ? 1e-4 : 2e-5;
          const edges = attended.lse && !attended.reweighted && !['entmax'].includes(name);
          if (edges) assertMatches(input, attended, expected, name, tolerance);
          else assertClose(attended.output, expected.output, name, tolerance);
        }
      }
      assert.ok(runs > 0);
    });
  }

  it('every one is covered here, but those that only approximate', () => {
    const missing = mechanisms.map(({ info }) => info.name).filter(name => !(name in full));
    assert.deepEqual(missing, ['performer', 'continuous']);
  });
});
