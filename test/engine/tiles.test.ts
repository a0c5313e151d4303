import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { SharedCache } from '../../engine/runtime/sharedCache';
import { drawRows } from '../../engine/service/tiles';
import { TILE_SIZE, type Tile } from '../../shared/protocol/engine';
import { inductionModel, needleText, writePlanted } from '../fixtures/plantedModels';
import { setting } from '../support/settings';

/** Longer than what every row of is read of. */
const TOKENS = 12_288;
/** Rows of each cell of 128 that are read of it. */
const READ = 42;

describe('tiles of a long text', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'attention-tiles-'));
  const engine = new Engine();
  const window = setting('local', { window: 600 });
  const head = { id: 'long', core: 1, head: 0 };
  let runs = 0;
  const tile = (level: number, row: number, column: number, reduce: 'max' | 'mean'): Promise<Tile> =>
    engine.request('analysis/tile', { ...head, level, row, column, reduce, mechanism: window });

  before(async () => {
    writePlanted(folder, inductionModel(TOKENS));
    await engine.analyze({
      id: 'long',
      model: folder,
      text: needleText(TOKENS - 10),
      device: 'cpu',
      maxTokens: null,
      mechanisms: [],
      propagate: false,
      attention: { setting: window },
    });
    const { model } = engine.analysis('long');
    const run = model.run.bind(model);
    model.run = (...given) => (runs++, run(...given));
  });
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  it('draw as many rows of each cell, one in each equal part, and all where these are as many', () => {
    const rows = drawRows({ from: 1000, to: 1250 }, 100, 7);
    for (const cell of [1000, 1100, 1200]) {
      const height = Math.min(100, 1250 - cell);
      const own = rows.filter(row => row >= cell && row < cell + height);
      assert.equal(own.length, 7);
      own.forEach((row, part) => {
        assert.ok(row >= cell + Math.floor((part * height) / 7));
        assert.ok(row < cell + Math.floor(((part + 1) * height) / 7));
      });
    }
    assert.deepEqual([...drawRows({ from: 4, to: 9 }, 2, 2)], [4, 5, 6, 7, 8]);
    assert.notDeepEqual(rows.map(row => row % 100).slice(0, 7), rows.map(row => row % 100).slice(7, 14));
  });

  it('tell sampled rows from all rows, and hold what those rows hold exactly', async () => {
    const [most, middle] = [await tile(7, 0, 0, 'max'), await tile(7, 0, 0, 'mean')];
    assert.deepEqual([most.rowsRead, most.rows, most.columns], [READ, 96, 96]);
    const cell = 128;
    const [row, column] = [50, 20];
    const drawn = drawRows({ from: 0, to: TOKENS }, cell, READ).slice(row * READ, (row + 1) * READ);
    const seen: number[] = [];
    const kept: number[] = [];
    for (const token of drawn) {
      assert.equal(Math.floor(token / cell), row);
      const line = await engine.request('analysis/row', { ...head, token, direction: 'from' });
      seen.push(...line.subarray(column * cell, (column + 1) * cell));
      kept.push(line.subarray(Math.max(0, token - 600)).reduce((a, b) => a + b, 0));
    }
    assert.ok(Math.abs(most.mass[row * 96 + column]! - Math.max(...seen)) < 1e-6);
    const mean = seen.reduce((a, b) => a + b, 0) / seen.length;
    assert.ok(Math.abs(middle.mass[row * 96 + column]! - mean) < 1e-6 * (1 + mean));
    const inWindow = middle.kept!.subarray(row * 96, (row + 1) * 96).filter(share => share > 0).length;
    assert.ok(inWindow >= 5 && inWindow <= 6, `${inWindow} cells of the row are within the window`);
  });

  it('estimate the mean of all rows within what the sample allows', async () => {
    const middle = await tile(7, 0, 0, 'mean');
    // Cells of 32 are read whole: sixteen of them are one of 128.
    const cells: { exact: number; found: number; error: number }[] = [];
    for (const band of [1, 2]) {
      const fine = await tile(5, band, 0, 'mean');
      const top = await tile(5, band, 0, 'max');
      assert.equal(fine.rowsRead, undefined);
      for (let row = 0; row < 32; row++)
        for (let column = 0; column < 32; column++) {
          const parts: number[] = [];
          let most = 0;
          for (let y = 0; y < 4; y++)
            for (let x = 0; x < 4; x++) {
              const at = (4 * row + y) * fine.columns + 4 * column + x;
              parts.push(fine.mass[at]!);
              most = Math.max(most, top.mass[at]!);
            }
          const exact = parts.reduce((a, b) => a + b, 0) / parts.length;
          cells.push({
            exact,
            found: middle.mass[(32 * band + row) * 96 + column]!,
            error: Math.sqrt((exact * most) / READ),
          });
        }
    }
    // The mean over keys of a row lies between 0 and the largest mass, so its deviation is at most sqrt(mean * largest).
    const far = cells.filter(({ exact, found, error }) => Math.abs(found - exact) > 2 * error + 1e-9);
    assert.ok(far.length < 0.05 * cells.length, `${far.length} of ${cells.length} cells`);
    const sum = (of: 'exact' | 'found') => cells.reduce((all, one) => all + one[of], 0);
    assert.ok(Math.abs(sum('found') / sum('exact') - 1) < 0.05);
    assert.ok(cells.some(({ exact, found }) => exact !== found));
  });

  it('of single pairs are the rows themselves', async () => {
    const [row, column] = [70, 69];
    const { mass, rowsRead } = await tile(0, row, column, 'mean');
    assert.equal(rowsRead, undefined);
    for (const r of [0, 63, 127]) {
      const token = row * TILE_SIZE + r;
      const line = await engine.request('analysis/row', { ...head, token, direction: 'from' });
      const own = mass.subarray(r * TILE_SIZE, (r + 1) * TILE_SIZE);
      own.forEach((value, c) => assert.ok(Math.abs(value - line[column * TILE_SIZE + c]!) < 1e-6));
    }
  });

  it('take one run of the model for a head, though its core is too large to be kept', async () => {
    const analysis = engine.analysis('long');
    const { q, k, v } = (await analysis.tensors(1, neverCancelled)).input;
    // The core is this and its output, as large as v again.
    const ofHead = 4 * (q.length + k.length + v.length);
    Object.assign(analysis, { cache: new SharedCache({ bytes: 1.2 * ofHead }) });
    runs = 0;
    const asked = { ...head, reduce: 'max' as const };
    for (const [level, row, column] of [
      [7, 0, 0],
      [0, 3, 3],
      [0, 80, 2],
    ] as const)
      await engine.request('analysis/tile', { ...asked, level, row, column });
    await engine.request('analysis/row', { ...head, token: 700, direction: 'from' });
    const tokens = { ...head, tokens: [800], top: 3, mechanisms: null };
    await engine.request('analysis/token', tokens);
    const kept = { ...tokens, keptOnly: true };
    assert.deepEqual(
      await engine.request('analysis/token', kept),
      await engine.request('analysis/token', tokens),
    );
    await assert.rejects(engine.request('analysis/token', { ...kept, core: null, head: null }), /not kept/);
    await assert.rejects(engine.request('analysis/token', { ...kept, core: 0 }), /not kept/);
    assert.equal(runs, 1);
  });
});
