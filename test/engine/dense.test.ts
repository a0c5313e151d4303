import assert from 'node:assert/strict';
import { denseCore, denseOutput, denseRows } from '../../engine/attention/dense';
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
      const context = { runtime, cancellation: neverCancelled };
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

  it('stops between blocks when cancelled', async () => {
    const context = { runtime, cancellation: { isCancelled: true } };
    await assert.rejects(denseCore(randomCore(1), context), { name: 'CancelledError' });
  });
});
