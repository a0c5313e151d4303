import assert from 'node:assert/strict';
import { tokenLoss } from '../../engine/measure/loss';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { close } from '../oracle/close';
import { random } from '../oracle/random';

describe('loss', () => {
  const width = 3_000_000; // so wide that rows are read in several blocks
  const ids = Int32Array.of(5, 0, 2_999_999, 17, 17, 4);
  const row = (i: number) => {
    const { uniform } = random(i + 1);
    return Float32Array.from({ length: width }, () => uniform() * 20 - 30);
  };

  it('is the log-softmax of the token that came, read in blocks of rows', async () => {
    const runtime = await createRuntime('cpu');
    const reads: [number, number][] = [];
    const output = {
      kind: 'logits' as const,
      rows: ids.length,
      width,
      read: async (from: number, to: number) => {
        reads.push([from, to]);
        const block = new Float32Array((to - from) * width);
        for (let i = from; i < to; i++) block.set(row(i), (i - from) * width);
        return block;
      },
    };
    const loss = await tokenLoss(output, ids, { runtime, signal: neverCancelled });
    const expected = Array.from({ length: ids.length - 1 }, (_, i) => {
      const logits = row(i);
      let sum = 0;
      for (const logit of logits) sum += Math.exp(logit);
      return Math.log(sum) - logits[ids[i + 1]!]!;
    });
    close(loss, expected, 2e-5);
    assert.deepEqual(reads, [
      [0, 2],
      [2, 4],
      [4, 5],
    ]);
    await runtime.dispose();
  }).timeout(60_000);

  it('of a single token is empty', async () => {
    const runtime = await createRuntime('cpu');
    const read = async () => assert.fail('read');
    const output = { kind: 'logits' as const, rows: 1, width: 10, read };
    assert.equal(
      (await tokenLoss(output, ids.subarray(0, 1), { runtime, signal: neverCancelled })).length,
      0,
    );
    await runtime.dispose();
  });
});
