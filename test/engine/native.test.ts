import assert from 'node:assert/strict';
import { join } from 'node:path';
import { denseCore, denseRows } from '../../engine/attention/kernels/dense';
import { denseColumn, denseRow } from '../../engine/attention/kernels/lines';
import type { CoreInput } from '../../engine/attention/core';
import { verifyJson } from '../../engine/export/verifyJson';
import { loadModel } from '../../engine/model/load';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { RefusedError } from '../../engine/errors';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertReproduces } from './cutHarness';

const ZOO = join(__dirname, '..', 'fixtures', 'zoo');

/** What the recipe gave its small samples (scripts/zoo/samples.py). */
const MADE_WITH: Record<string, Record<string, unknown>> = {
  strided: { stride: 6 },
  'adaptive-span': { ramp: 5 },
  lsh: { bucketSize: 6, rounds: 3, sharedQK: true, attendAcrossBuckets: false },
  routing: { window: 12, localHeads: 2, localWindow: 7, sharedQK: true },
  'transformer-xl': { segment: 12, memory: 7 },
  entmax: {},
  shaped: {},
};
/** Learned as one number for each head. */
const LEARNED: Record<string, string[]> = {
  'adaptive-span': ['span'],
  entmax: ['alpha'],
  shaped: ['alpha', 'beta', 'gamma'],
};

describe('models made with a mechanism of a paper, which their file carries by name', () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());

  const load = (name: string): Promise<CutModel> => {
    const onnx = join(ZOO, name, 'onnx', 'model.onnx');
    return loadModel({ onnx, name, ref: onnx }, runtime, { signal: neverCancelled });
  };

  for (const [name, settings] of Object.entries(MADE_WITH))
    it(`${name}: our mechanism with the learned tensors gives the uncut model's output, and the map gives the core's`, async () => {
      const model = await load(name);
      try {
        await assertReproduces(model, 5e-5, 50);
        for (const { attention } of verifyJson(model.info).cores) {
          assert.equal(attention.name, name);
          assert.equal(attention.native, true);
          const params: Record<string, unknown> = attention.params;
          for (const [key, value] of Object.entries(settings)) assert.equal(params[key], value, key);
          for (const key of LEARNED[name] ?? []) assert.equal((params[key] as number[]).length, 4, key);
        }
        if (name === 'shaped') return;
        for (const input of await coresOf(model)) await assertMapGivesOutput(input, runtime);
      } finally {
        await model.dispose();
      }
    });

  for (const name of ['dense', 'switch'])
    it(`${name}: dense attention`, async () => {
      const model = await load(name);
      await assertReproduces(model, 5e-5, 50);
      for (const { attention } of verifyJson(model.info).cores)
        assert.deepEqual(attention, { name: 'dense', native: false, params: {} });
      await model.dispose();
    });

  for (const name of ['compressive', 'retro'])
    it(`${name}: refused by name`, async () => {
      await assert.rejects(load(name), (error: unknown) => {
        assert.ok(error instanceof RefusedError);
        assert.match(error.message, new RegExp(`"${name}"`));
        return true;
      });
    });
});

/** The inputs of all cores for a text of 40 tokens. */
async function coresOf(model: CutModel): Promise<CoreInput[]> {
  const inputs: CoreInput[] = [];
  const ids = Int32Array.from({ length: 40 }, (_, i) => (i * i + 3) % 40);
  const attend = async (_: unknown, input: CoreInput) => {
    inputs.push(input);
    return input.native!.output;
  };
  await model.run(ids, attend, { signal: neverCancelled });
  return inputs;
}

/** Every way to look at the map shows the same probabilities, and their weighted sums of values are the model's output. */
async function assertMapGivesOutput(input: CoreInput, runtime: Runtime): Promise<void> {
  const { heads, queries, keys, valueDim, v } = input;
  const context = { runtime, signal: neverCancelled };
  const { output, lse } = await denseCore(input, context);
  assert.deepEqual(output, input.native!.output);
  let zeros = 0;
  for (let head = 0; head < heads; head++) {
    const rows = await denseRows(input, head, 0, queries, context);
    for (let i = 0; i < queries; i++) {
      const row = denseRow(input, head, i);
      for (let j = 0; j < keys; j++) {
        if (j <= i && row[j] === 0) zeros++;
        assert.ok(Math.abs(row[j]! - rows[i * keys + j]!) < 1e-5);
        assert.ok(Math.abs(denseColumn(input, lse, head, j)[i]! - row[j]!) < 1e-5);
      }
      for (let c = 0; c < valueDim; c++) {
        const sum = row.reduce(
          (total, weight, j) => total + weight * v[(head * keys + j) * valueDim + c]!,
          0,
        );
        assert.ok(Math.abs(sum - output[(head * queries + i) * valueDim + c]!) < 1e-4);
      }
    }
  }
  assert.ok(zeros > 0, 'keys that softmax would not have left without any mass');
}
