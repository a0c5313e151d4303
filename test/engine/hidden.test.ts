import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { loadModel } from '../../engine/model/load';
import type { HiddenRows } from '../../engine/model/cut/hidden';
import { resolveModel } from '../../engine/model/source/source';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';

const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models');

/** The residual stream at the cut, and the embedding table, of many kinds of exports. */
describe('hidden rows', function () {
  this.timeout(120_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const load = async (ref: string) => {
    const files = await resolveModel(ref, { signal: neverCancelled, onProgress: () => undefined });
    const context = { runtime, signal: neverCancelled };
    const attend = (_: unknown, input: Parameters<typeof denseOutput>[0]) => denseOutput(input, context);
    const model = await loadModel(files, runtime, { signal: neverCancelled, attend });
    return { model, attend };
  };

  it('the bundled model: every layer, and the table that the first layer reads', async () => {
    const { model, attend } = await load('bundled');
    const ids = Int32Array.of(5, 900, 5, 31);
    const hidden: HiddenRows[] = [];
    await model.run(ids, attend, { signal: neverCancelled, onHidden: h => hidden.push(h) });
    assert.deepEqual(
      hidden.map(h => h.at),
      [0, 1, 2, 3, 4, 5, 'output'],
    );
    for (const h of hidden) assert.deepEqual([h.rows, h.width], [4, 160]);
    const table = (await model.embed(ids))!;
    assert.deepEqual([...table.rows], [...hidden[0]!.data], 'layer 0 gets the embeddings');
    assert.deepEqual([...table.rows.subarray(0, 160)], [...table.rows.subarray(320, 480)]);
    await model.dispose();
  });

  it('exports of other families', async function () {
    if (!existsSync(FIXTURES)) {
      console.log(`SKIPPED: no model fixtures at ${FIXTURES}`);
      this.skip();
    }
    const names = readdirSync(FIXTURES).filter(n => /^(albert|bert|gpt2|gpt_neox|t5)-eager-script$/.test(n));
    assert.ok(names.length > 0);
    for (const name of names) {
      const { model, attend } = await load(join(FIXTURES, name));
      const at: (number | string)[] = [];
      const ids = Int32Array.of(5, 6, 7, 8, 9);
      await model.run(ids, attend, { signal: neverCancelled, onHidden: h => at.push(h.at) });
      assert.deepEqual(at, [...model.info.cores.map(c => c.core), 'output'], name);
      assert.equal((await model.embed(ids))!.rows.length % 5, 0);
      await model.dispose();
    }
  });
});
