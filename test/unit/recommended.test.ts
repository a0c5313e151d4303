import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hubId } from '../../extension/model/modelRef';
import { ROOT } from '../fixtures/cli';
import { withVscode } from '../fixtures/fakeVscode';

const t = (message: string, ...values: unknown[]) =>
  message.replace(/\{(\d)\}/g, (_, i) => String(values[Number(i)]));

describe('extension: recommended models', () => {
  it('say why, how large they are, and no more than what the documents say was tried', async () => {
    const read = (file: string) => readFileSync(join(ROOT, 'docs', file), 'utf8');
    const [families, real] = [read('models.md'), read('real-models.md')];
    await withVscode({ l10n: { t } }, async () => {
      const { RECOMMENDED, sizeOf, triedWords } = await import('../../extension/model/recommended');
      assert.equal(new Set(RECOMMENDED.map(({ id }) => id)).size, RECOMMENDED.length);
      assert.equal(
        new Set(RECOMMENDED.map(model => model.why())).size,
        RECOMMENDED.length,
        'each its own reason',
      );
      const tried = [...real.matchAll(/^- `(\w+)`: \S+, \d+ layers/gm)].map(([, name]) => name!);
      const named = RECOMMENDED.flatMap(model => ('weights' in model.tried ? [model.tried.weights] : []));
      assert.deepEqual(named.sort(), tried.sort(), 'all whose weights were tried are among them');
      for (const model of RECOMMENDED) {
        assert.equal(hubId(model.id), model.id);
        assert.match(sizeOf(model), /^about \d+ MB/);
        const { tried } = model;
        if ('weights' in tried) {
          assert.match(real, new RegExp(`^\\| ${tried.weights} +\\| float32 +\\| verified`, 'm'), model.id);
          assert.match(triedWords(model), /weights were tried/);
        } else {
          assert.match(families, new RegExp(`^\\| ${tried.family} +\\|.*proved`, 'm'), model.id);
          assert.match(triedWords(model), /^Not tried here/);
        }
      }
    });
  });
});
