import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { denseCore, denseOutput, denseRows } from '../../engine/attention/kernels/dense';
import { massesAt, pickRows } from '../../engine/attention/kernels/pickedRows';
import { someHeads } from '../../engine/attention/kernels/subset';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { close } from '../oracle/close';
import { coreZoo, oracleOutput, oracleProbabilities, randomCore } from '../oracle/dense';

describe('dense core', () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());

  for (const [name, input] of Object.entries(coreZoo())) {
    it(`equals the float64 oracle: ${name}`, async () => {
      const context = { runtime, signal: neverCancelled };
      const { output, lse } = await denseCore(input, context);
      const { queries, valueDim, keys } = input;
      for (let head = 0; head < input.heads; head++) {
        const oracle = oracleProbabilities(input, head);
        const expected = oracleOutput(input, head, oracle.p);
        close(output.subarray(head * queries * valueDim, (head + 1) * queries * valueDim), expected, 2e-5);
        close(lse.subarray(head * queries, (head + 1) * queries), oracle.lse, 2e-5);
        const from = Math.floor(queries / 3);
        const rows = await denseRows(input, head, from, queries, context);
        for (let i = from; i < queries; i++) {
          close(rows.subarray((i - from) * keys, (i - from + 1) * keys), oracle.p[i]!, 1e-5);
        }
      }
      assert.deepEqual(await denseOutput(input, context), output);
    });
  }

  for (const [name, input] of Object.entries(coreZoo())) {
    it(`of picked rows at some of their keys equals the float64 oracle: ${name}`, async () => {
      const context = { runtime, signal: neverCancelled };
      const { queries, keys, heads } = input;
      const places = [0, 1, 5, 6, queries - 1].filter(query => query < queries);
      const picked = Int32Array.from(new Set(places));
      const weights = Float32Array.from({ length: keys }, (_, key) => 1 + (key % 3));
      for (let head = 0; head < heads; head++) {
        const { p } = oracleProbabilities(input, head);
        const rows = await pickRows(input, head, picked, context, weights);
        const sums = Array.from(picked, query =>
          p[query]!.reduce((all, mass, key) => all + mass * weights[key]!, 0),
        );
        close(rows.sums, sums, 2e-5);
        const third = Math.floor(keys / 3);
        for (const stretch of [
          { from: 0, to: keys },
          { from: third, to: 2 * third },
          { from: keys - 1, to: keys },
        ]) {
          const found = Array.from(picked, () => new Float32Array(stretch.to - stretch.from));
          for await (const { at, query, firstKey, mass } of massesAt(input, head, rows, stretch, context)) {
            assert.equal(query, picked[at]);
            found[at]!.set(mass, firstKey - stretch.from);
          }
          for (const [at, query] of picked.entries())
            close(found[at]!, p[query]!.subarray(stretch.from, stretch.to), 1e-5);
        }
      }
    });
  }

  it('computes in float64 for models that amplify rounding', async () => {
    const context = { runtime, signal: neverCancelled };
    const scale = new Float32Array(2).fill(4);
    const plain = randomCore(4, { heads: 2, queries: 40, keys: 40, dim: 32, rule: { scale } });
    const worst = async (input: CoreInput) => {
      const oracle = oracleProbabilities(input, 1);
      const rows = await denseRows(input, 1, 0, input.queries, context);
      return Math.max(...rows.map((p, at) => Math.abs(p - oracle.p[Math.floor(at / 40)]![at % 40]!)));
    };
    const [float32, float64] = [await worst(plain), await worst({ ...plain, precise: true })];
    // A probability is given out in float32.
    assert.ok(float64 <= 2 ** -24 && float32 > 4 * float64, `${float32} ${float64}`);
  });

  for (const causal of [true, false]) {
    it(`heads that are run together equal heads run alone, ${causal ? 'causal' : 'full'}`, async () => {
      const context = { runtime, signal: neverCancelled };
      const rule = { mask: { causal, window: null } };
      const input = randomCore(3, { heads: 14, kvHeads: 7, queries: 800, dim: 4, rule });
      const { output, lse } = await denseCore(input, context);
      const size = input.queries * input.valueDim;
      for (let head = 0; head < input.heads; head++) {
        const alone = await denseCore(someHeads(input, [head]), context);
        close(output.subarray(head * size, (head + 1) * size), alone.output, 1e-6);
        close(lse.subarray(head * input.queries, (head + 1) * input.queries), alone.lse, 1e-6);
      }
    });
  }

  it('stops between blocks when cancelled', async () => {
    const context = { runtime, signal: AbortSignal.abort() };
    await assert.rejects(denseCore(randomCore(1), context), { name: 'CancelledError' });
  });
});
