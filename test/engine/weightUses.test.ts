import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planCut } from '../../engine/model/cut/cutPlan';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { countWeights, weightUses } from '../../engine/model/onnx/weightUses';
import { resolveModel } from '../../engine/model/source/source';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { benchModel, type Family } from '../bench/models';

describe('what weights are for', function () {
  this.timeout(60_000);
  const [vocabulary, width, context] = [1000, 32, 128];
  let runtime: Runtime;
  let folder: string;
  before(async () => {
    runtime = await createRuntime('cpu');
    folder = mkdtempSync(join(tmpdir(), 'weights-'));
  });
  after(async () => {
    await runtime.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  async function uses(onnx: string, words: number) {
    const skeleton = readSkeleton(onnx);
    const { graph } = await planCut(skeleton, {}, runtime, neverCancelled);
    const all = countWeights(graph, skeleton.folder);
    const { multiplied, output, tables } = weightUses(graph, skeleton.folder, words);
    return { lookedUp: all - multiplied, output, tables };
  }

  for (const family of ['gpt2', 'llama'] as Family[]) {
    for (const untied of [false, true]) {
      it(`${family}, ${untied ? 'an output matrix of its own' : 'tied'}`, async () => {
        const onnx = join(folder, `${family}-${untied}.onnx`);
        const shape = { family, layers: 2, heads: 2, kvHeads: 2, headDim: 16, vocabulary, context, untied };
        writeFileSync(onnx, benchModel(shape));
        const tables = family === 'gpt2' ? context * width : 0;
        // Looked up only: never positions as products, the embeddings where the output does not read them.
        assert.deepEqual(await uses(onnx, vocabulary), {
          lookedUp: tables + (untied ? vocabulary * width : 0),
          output: untied ? vocabulary * width : 0,
          tables,
        });
      });
    }
  }

  it('the bundled model, whose output reads its embeddings', async () => {
    const { onnx } = await resolveModel('bundled');
    assert.deepEqual(await uses(onnx, 4096), { lookedUp: 0, output: 0, tables: 0 });
  });

  it('a model of whole numbers times scales, whose output reads its embeddings', async () => {
    const { onnx } = await resolveModel('zoo/albert');
    assert.deepEqual(await uses(onnx, 4096), { lookedUp: 0, output: 0, tables: 0 });
    // As scripts/zoo/README.md has it: scales are not learned.
    const skeleton = readSkeleton(onnx);
    const { graph } = await planCut(skeleton, {}, runtime, neverCancelled);
    const constants = countWeights(graph, skeleton.folder) - 459_136;
    assert.ok(constants >= 0 && constants < 20, `${constants}`);
  });
});
