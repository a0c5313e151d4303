import assert from 'node:assert/strict';
import { DensePredictions } from '../../engine/measure/predictionShift';
import type { ModelOutput } from '../../engine/model/cut/cutModel';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { close } from '../oracle/close';
import { random } from '../oracle/inputs';

/** So wide that rows are read in blocks of two. */
const [ROWS, WIDTH] = [5, 2_000_000];

function output(seed: number) {
  const next = random(seed);
  const logits = new Float32Array(ROWS * WIDTH);
  for (let at = 0; at < logits.length; at++) logits[at] = 8 * next() - 4;
  const reads: number[] = [];
  const model: ModelOutput = {
    kind: 'logits',
    rows: ROWS,
    width: WIDTH,
    read: (from, to) => {
      reads.push(to - from);
      return Promise.resolve(logits.slice(from * WIDTH, to * WIDTH));
    },
    holds: [],
    only: () => assert.fail(),
  };
  const totals = Array.from({ length: ROWS }, (_, row) => {
    let sum = 0;
    for (let at = row * WIDTH; at < (row + 1) * WIDTH; at++) sum += Math.exp(logits[at]!);
    return Math.log(sum);
  });
  const logarithm = (row: number, token: number) => logits[row * WIDTH + token]! - totals[row]!;
  return { model, reads, logarithm };
}

describe('predictions of a changed run against those of the dense one', function () {
  this.timeout(60_000);
  const tokens = Int32Array.from([5, 0, WIDTH - 1, 77]);

  for (const keep of [true, false])
    it(`divergence and loss of every row; the dense model's are ${keep ? 'kept' : 'computed anew'}`, async () => {
      const runtime = await createRuntime('cpu');
      const [dense, changed] = [output(1), output(2)];
      const known = new DensePredictions(dense.model, keep ? 4 * ROWS * WIDTH : 4 * ROWS * WIDTH - 1);
      const context = { runtime, signal: neverCancelled };
      const first = await known.compare(changed.model, tokens, context);
      const again = await known.compare(changed.model, tokens, context);
      const own = await known.compare(dense.model, tokens, context);
      await runtime.dispose();
      let shift = 0;
      for (let row = 0; row < ROWS; row++) {
        for (let token = 0; token < WIDTH; token++) {
          const p = dense.logarithm(row, token);
          shift += Math.exp(p) * (p - changed.logarithm(row, token));
        }
      }
      // Two million terms in float32.
      assert.ok(Math.abs(first.shift / (shift / ROWS) - 1) < 1e-3, `${first.shift} ${shift / ROWS}`);
      close(
        first.loss,
        [...tokens].map((token, row) => -changed.logarithm(row, token)),
        1e-4,
      );
      assert.deepEqual(again, first);
      assert.ok(own.shift < 1e-6);
      const blocks = changed.reads.length / 2;
      assert.ok(blocks > 1, 'read in blocks');
      // The last comparison reads the dense model as the changed one.
      assert.equal(dense.reads.length, keep ? 2 * blocks : 4 * blocks);
    });
});
