import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { lookBackModel, plantedText, writePlanted } from '../fixtures/plantedModels';
import { close } from '../oracle/close';
import { oracleProbabilities } from '../oracle/dense';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');

describe('attention rollout', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'rollout-'));
  const engine = new Engine();
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const analyze = (id: string, model: string, text: string) =>
    engine.analyze({
      ...{ id, model, text, device: 'cpu', maxTokens: 90 },
      ...{ mechanisms: [], propagate: false },
    });

  it('of the bundled model is the product of all its layers, in float64', async () => {
    const { tokens } = await analyze('prose', 'bundled', readFileSync('test/fixtures/sample.txt', 'utf8'));
    const length = tokens.ids.length;
    const analysis = engine.analysis('prose');
    let whole: Float64Array[] | null = null;
    const mixed: Float64Array[][] = [];
    for (const { result } of analysis.cores) {
      const { input } = await analysis.tensors(result.info.core, neverCancelled);
      const heads = Array.from({ length: input.heads }, (_, head) => oracleProbabilities(input, head).p);
      const layer = Array.from({ length }, (_, i) =>
        Float64Array.from({ length }, (__, j) => {
          const mean = heads.reduce((sum, p) => sum + p[i]![j]! / heads.length, 0);
          return (mean + (i === j ? 1 : 0)) / 2;
        }),
      );
      mixed.push(layer);
      whole = whole ? product(layer, whole) : layer;
    }
    const wanted = [length - 1, 40, 0];
    const { cores, rows } = await engine.request('analysis/rollout', { id: 'prose', tokens: wanted });
    assert.deepEqual(
      cores,
      mixed.map((_, core) => core),
    );
    for (const [at, token] of wanted.entries()) {
      close(rows[at]!, whole![token]!, 2e-5);
      assert.ok(Math.abs(rows[at]!.reduce((sum, share) => sum + share, 0) - 1) < 2e-5);
      assert.ok(rows[at]!.subarray(token + 1).every(share => share === 0));
    }
  });

  it('of one layer is half the token itself and half the mean of the heads', async () => {
    writePlanted(folder, lookBackModel([1, 4]));
    await analyze('planted', folder, plantedText(30, { 1: [5, 6, 7] }));
    const { rows } = await engine.request('analysis/rollout', { id: 'planted', tokens: [20] });
    const expected = new Float32Array(30);
    expected[20] = 0.5;
    expected[19] = expected[16] = 0.25;
    close(rows[0]!, expected, 2e-5);
  });

  it('of encoders sees both sides; of an encoder-decoder it stays within a text', async () => {
    await analyze('bert', join(FIXTURES, 'bert-eager-script'), 'the cat sat on the mat');
    const { rows } = await engine.request('analysis/rollout', { id: 'bert', tokens: [1] });
    assert.ok(rows[0]!.at(-1)! > 0);
    assert.ok(Math.abs(rows[0]!.reduce((sum, share) => sum + share, 0) - 1) < 2e-5);
    await analyze('bart', join(FIXTURES, 'bart-eager-script'), 'the cat sat on the mat');
    const kinds = engine.analysis('bart').cores.map(({ result }) => result.info.kind);
    for (const [side, kind] of [
      ['text', 'encoder'],
      ['target', 'decoder'],
    ] as const) {
      const found = await engine.request('analysis/rollout', { id: 'bart', tokens: [1], side });
      assert.deepEqual(
        found.cores.map(core => kinds[core]),
        kinds.filter(one => one === kind),
      );
    }
  });

  it('says which token is not there', async () => {
    for (const token of [-1, 0.5, 1000])
      await assert.rejects(
        engine.request('analysis/rollout', { id: 'planted', tokens: [token] }),
        new RegExp(`There is no token ${token}\\.`),
      );
  });
});

function product(a: readonly Float64Array[], b: readonly Float64Array[]): Float64Array[] {
  return a.map(row => {
    const sum = new Float64Array(b.length);
    row.forEach((share, k) => b[k]!.forEach((value, j) => (sum[j]! += share * value)));
    return sum;
  });
}
