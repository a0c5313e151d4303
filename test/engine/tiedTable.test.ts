import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { loadModel } from '../../engine/model/load';
import { planCut } from '../../engine/model/cut/cutPlan';
import { referenceBytes } from '../../engine/model/verify/reference';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { decodeModel } from '../../engine/runtime/onnxProto';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats } from '../../engine/runtime/tensor';
import { benchModel, randomIds } from '../bench/models';
import { close } from '../oracle/close';

/** An embedding table that is the head's too is the largest tensor of a small model: it must be resident once. */
describe('tied embedding table', () => {
  const vocabulary = 140_000;
  const shape = { layers: 2, heads: 2, kvHeads: 2, headDim: 16, vocabulary, context: 128 };
  let runtime: Runtime;
  let folder: string;
  before(async () => {
    runtime = await createRuntime('cpu');
    folder = mkdtempSync(join(tmpdir(), 'attention-tied-'));
  });
  after(async () => {
    await runtime.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const family of ['gpt2', 'llama'] as const) {
    it(`${family}: one session alone has it, and looks up the text's rows`, async () => {
      const onnx = join(folder, `${family}.onnx`);
      writeFileSync(onnx, benchModel({ family, ...shape }));
      const skeleton = readSkeleton(onnx);
      const { segments } = await planCut(skeleton, {}, runtime, neverCancelled);
      const holders = segments.pieces.filter(piece =>
        decodeModel(piece!.bytes).graph!.initializer.some(t => Number(t.dims[0]) === vocabulary),
      );
      assert.equal(holders.length, 1);
      assert.ok(segments.lookup);

      const context = { runtime, signal: neverCancelled };
      const model = await loadModel({ onnx, name: family, ref: onnx }, runtime, {
        signal: neverCancelled,
        attend: (_, input) => denseOutput(input, context),
      });
      const ids = randomIds(40, vocabulary);
      const output = await model.run(ids, (_, input) => denseOutput(input, context), context);
      const expected = floats(await model.runUncut(ids));
      for (const from of [0, 20]) {
        const rows = expected.subarray(from * vocabulary, (from + 20) * vocabulary);
        close(await output.read(from, from + 20), rows, 1e-4);
      }
      await model.dispose();
    });
  }

  it('the reference reads the table as it lies', () => {
    const { graph } = decodeModel(referenceBytes(readSkeleton(join(folder, 'gpt2.onnx'))));
    const ops = graph!.node.map(n => n.op_type);
    assert.equal(ops.filter(op => op === 'FusedMatMul').length, 1);
    assert.ok(!graph!.node.some(n => n.op_type === 'Transpose' && n.attribute[0]!.ints.length === 2));
  });
});
