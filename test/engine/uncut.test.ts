import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planCut } from '../../engine/model/cut/cutPlan';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { UncutModel } from '../../engine/model/verify/uncut';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats } from '../../engine/runtime/tensor';
import { benchModel } from '../bench/models';

describe('the uncut model', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'uncut-'));
  const onnx = join(folder, 'model.onnx');
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
    const shape = { layers: 1, heads: 2, kvHeads: 2, headDim: 8, vocabulary: 50, context: 64 };
    writeFileSync(onnx, benchModel({ family: 'gpt2', ...shape }));
  });
  after(async () => {
    await runtime.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [bytes, loads] of [
    [20_000_000, 1],
    [500_000_000, 2],
  ] as const)
    it(`of a file of ${bytes / 1e6} MB is loaded ${loads === 1 ? 'once' : 'again for the first text after the proof, and kept'}`, async () => {
      let loaded = 0;
      let released = 0;
      const counting: Runtime = {
        report: runtime.report,
        graph: (...given) => runtime.graph(...given),
        hold: tensors => runtime.hold(tensors),
        dispose: () => runtime.dispose(),
        load: async (...given) => {
          loaded++;
          const session = await runtime.load(...given);
          const { inputNames, outputNames } = session;
          const release = () => (released++, session.release());
          return { inputNames, outputNames, run: (...own) => session.run(...own), release };
        },
      };
      const skeleton = { ...readSkeleton(onnx), fileBytes: bytes };
      const plan = await planCut(skeleton, {}, runtime, neverCancelled);
      const uncut = new UncutModel(plan, counting, skeleton);
      const ids = plan.survey.ids(20, 1, 3);
      const first = floats(await uncut.run(ids)).slice();
      await uncut.afterSamples();
      assert.equal(released, loads - 1);
      assert.deepEqual(floats(await uncut.run(ids)), first);
      await uncut.run(ids);
      assert.equal(loaded, loads);
      await uncut.release();
      assert.equal(released, loads);
    });
});
