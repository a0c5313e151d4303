import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { readSafetensors } from '../../engine/export/safetensors';
import { RefusedError } from '../../engine/errors';
import type { Attend } from '../../engine/model/cut/cutModel';
import { loadModel } from '../../engine/model/load';
import { referenceWeights } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats } from '../../engine/runtime/tensor';

/** Made by test/reference/mask_forms.py: many ways to write masks and biases, with PyTorch's own probabilities. */
const folder = process.env['MASK_FORMS'];
const names = folder ? readdirSync(folder).sort() : [];

describe('masks and biases as PyTorch exports them', function () {
  this.timeout(300_000);
  let runtime: Runtime;
  before(async function () {
    if (names.length === 0) {
      console.log('      SKIPPED: MASK_FORMS names no folder of test/reference/mask_forms.py');
      this.skip();
    }
    runtime = await createRuntime('cpu');
  });
  after(() => runtime?.dispose());

  for (const name of names)
    it(`${name}: what is verified has PyTorch's probabilities`, async () => {
      const at = join(folder!, name);
      const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as Record<string, unknown>;
      const files = { onnx: join(at, 'model.onnx'), config, name, ref: at };
      const texts = readdirSync(at).filter(file => file.endsWith('.safetensors'));
      const signal = neverCancelled;
      const context = { runtime, signal };
      const said: string[] = [];
      const refused = (error: unknown): void => {
        if (!(error instanceof RefusedError)) throw error;
        said.push(`refused: ${error.message}`);
      };
      const attend: Attend = (_, input) => denseOutput(input, context);
      const model = await loadModel(files, runtime, { signal, attend }).catch(refused);
      try {
        for (const file of texts.sort((a, b) => parseInt(a) - parseInt(b))) {
          if (!model) break;
          const expected = await readSafetensors(join(at, file));
          const list = (tensor: string) => Int32Array.from(expected[tensor]!.data as BigInt64Array, Number);
          const [ids, rows] = [list('ids'), list('rows')];
          let worst = 0;
          const compared: Attend = async (info, input) => {
            const truth = floats(expected[`attentions.${info.core}`]!);
            for (let h = 0; h < input.heads; h++)
              for (const [r, row] of rows.entries()) {
                const start = (h * rows.length + r) * input.keys;
                referenceWeights(input, h, row).forEach(
                  (p, j) => (worst = Math.max(worst, Math.abs(p - truth[start + j]!))),
                );
              }
            return denseOutput(input, context);
          };
          const check = await model
            .run(ids, compared, { signal })
            .then(output => model.checkText(ids, output, attend, { signal, share: 0.015 }))
            .catch(refused);
          if (!check) continue;
          const { holds, rules } = check;
          await model.checkRules(ids, { signal });
          const mask = [...new Set(model.info.cores.map(core => core.mask))].join(' | ');
          said.push(
            `${ids.length} tokens: ${worst.toExponential(1)}${holds ? '' : ', not verified'}; ${rules.share ?? 'every query'}; ${mask}`,
          );
          assert.ok(!holds || worst <= 1e-4, `${file}: probabilities differ by ${worst} (${mask})`);
        }
      } finally {
        await model?.dispose();
        console.log(said.map(line => `      ${line}`).join('\n'));
      }
    });
});
