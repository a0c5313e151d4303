import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { resolveModel } from '../../engine/model/source/source';

describe('models that are loaded one after the other, without an analysis', function () {
  this.timeout(120_000);

  it('are let go of, all but the last ones', async () => {
    const home = mkdtempSync(join(tmpdir(), 'loads-'));
    const engine = new Engine();
    try {
      const { folder } = await resolveModel('bundled');
      await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 1024 });
      const { models } = engine['analyses'].models as unknown as { models: Map<string, { model: CutModel }> };
      const ended: string[] = [];
      for (const name of ['a', 'b', 'c', 'd']) {
        const copy = join(home, name);
        cpSync(folder, copy, { recursive: true });
        await engine.request('models/load', { ref: copy, device: 'cpu' });
        const { model } = models.get(`cpu|${copy}`)!;
        const dispose = model.dispose.bind(model);
        model.dispose = () => {
          ended.push(name);
          return dispose();
        };
      }
      assert.equal(models.size, 2);
      assert.deepEqual(ended, ['a', 'b']);
    } finally {
      await engine.dispose();
      rmSync(home, { recursive: true });
    }
  });
});
