import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors } from '../../engine/export/safetensors';
import { loadModel } from '../../engine/model/load';
import { loadTokenizer } from '../../engine/model/tokens/tokenizer';
import { referenceAttend, referenceWeights } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { floats } from '../../engine/runtime/tensor';

const folder = join(import.meta.dirname, '..', '..', '..', 'shared', 'fixtures', 'rules');
const fixtures = existsSync(folder) ? readdirSync(folder).sort() : [];

describe('rules that a short probe cannot see', function () {
  this.timeout(120_000);
  before(function () {
    if (fixtures.length > 0) return;
    console.log(`      SKIPPED: no fixtures at ${folder}`);
    this.skip();
  });

  for (const name of fixtures)
    it(`${name}: probabilities and outputs of the named rows are the framework's`, async () => {
      const at = join(folder, name);
      const expected = await readSafetensors(join(at, 'expected.safetensors'));
      const rows = Array.from(expected['rows']!.data as BigInt64Array, Number);
      const runtime = await createRuntime('cpu');
      const tokenizer = await loadTokenizer(at);
      const { ids } = await tokenizer.encode(readFileSync(join(at, 'text.txt'), 'utf8'), null);
      const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as Record<string, unknown>;
      const files = { onnx: join(at, 'onnx', 'model.onnx'), config, name, ref: name };
      const model = await loadModel(files, runtime, { signal: neverCancelled });
      try {
        let worst = 0;
        const output = await model.run(
          ids,
          async (info, input) => {
            const truth = floats(expected[`attentions.${info.core}`]!);
            for (let h = 0; h < input.heads; h++)
              for (const [r, row] of rows.entries()) {
                const own = referenceWeights(input, h, row);
                const at = (h * rows.length + r) * input.keys;
                own.forEach((p, j) => (worst = Math.max(worst, Math.abs(p - truth[at + j]!))));
              }
            return referenceAttend(input);
          },
          { signal: neverCancelled },
        );
        assert.ok(worst <= 1e-4, `probabilities differ by ${worst}`);
        const logits = floats(expected['logits']!);
        let furthest = 0;
        let scale = 0;
        for (const [r, row] of rows.entries())
          (await output.read(row, row + 1)).forEach((value, c) => {
            const truth = logits[r * output.width + c]!;
            scale = Math.max(scale, Math.abs(truth));
            furthest = Math.max(furthest, Math.abs(value - truth));
          });
        assert.ok(furthest <= 1e-4 * scale, `outputs differ by ${furthest} of ${scale}`);
      } finally {
        await model.dispose();
        await runtime.dispose();
      }
    });
});
