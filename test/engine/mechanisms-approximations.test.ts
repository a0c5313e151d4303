import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import type { Mechanism } from '../../engine/attention/mechanism';
import { linformer } from '../../engine/attention/mechanisms/linformer';
import { nystrom } from '../../engine/attention/mechanisms/nystrom';
import { performer } from '../../engine/attention/mechanisms/performer';
import { exactPseudoInverse, multiply } from '../../engine/attention/maths/pseudoInverse';
import { shaped } from '../../engine/attention/mechanisms/shaped';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, type Tensor } from '../../engine/runtime/tensor';
import {
  inverse,
  linformerMap,
  newtonInverse,
  nystromMap,
  performerMap,
  shapedMap,
  softmaxRows,
  scoreMatrix,
  type Matrix,
} from '../oracle/approximations';
import { assertApproximates, assertClose, run } from '../oracle/check';
import { gaussians, randomInput, type Shape } from '../oracle/inputs';

const shapes: Record<string, Shape> = {
  'one token': { queries: 1 },
  plain: { queries: 37 },
  'grouped queries': { queries: 30, heads: 4, kvHeads: 2 },
  'more keys than queries': { queries: 11, keys: 40 },
  'several chunks': { queries: 600, heads: 1 },
};

describe('mechanisms that approximate the whole map', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const check = (
    mechanism: Mechanism,
    input: CoreInput,
    params: Record<string, unknown>,
    own: Record<string, Tensor>,
    oracle: (head: number) => Matrix,
    tolerance?: number,
  ) => assertApproximates(mechanism, input, params, oracle, { runtime, own, tolerance });

  const rowsOf = (data: Float32Array, width: number): Matrix =>
    Array.from({ length: data.length / width }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);

  for (const [name, shape] of Object.entries(shapes)) {
    for (const causal of [false, true]) {
      it(`performer, ${name}${causal ? ', causal' : ''}`, async () => {
        const input = randomInput({ ...shape, causal });
        const w = gaussians(21 * input.dim, 8);
        const own = { projection: float32(w, [21, input.dim]) };
        const tolerance = causal ? 1e-4 : 2e-5;
        await check(performer, input, {}, own, h => performerMap(input, h, rowsOf(w, input.dim)), tolerance);
      });
      it(`shaped, ${name}${causal ? ', causal' : ''}`, async () => {
        const input = randomInput({ ...shape, causal });
        const params = { alpha: 0.9, beta: 1.2, gamma: 0.7 };
        await check(shaped, input, params, {}, h => shapedMap(input, h, 0.9, 1.2, 0.7));
      });
    }
    it(`linformer, ${name}`, async () => {
      const input = randomInput(shape);
      const { keys } = input;
      const [e, f] = [gaussians(keys * 6, 3).map(x => x / 3), gaussians(keys * 6, 4).map(x => x / 3)];
      const own = { projection_k: float32(e, [keys, 6]), projection_v: float32(f, [keys, 6]) };
      await check(linformer, input, {}, own, h => linformerMap(input, h, rowsOf(e, 6), rowsOf(f, 6)));
    });
    for (const pinv of ['exact', 'iterative'] as const) {
      it(`nystrom, ${name}, ${pinv}`, async () => {
        const input = randomInput(shape);
        const landmarks = Math.min(5, input.queries, input.keys);
        const oracle = (h: number) =>
          nystromMap(input, h, landmarks, pinv === 'exact' ? inverse : newtonInverse);
        await check(nystrom, input, { landmarks: 5, pinv }, {}, oracle, pinv === 'exact' ? 2e-5 : 1e-3);
      });
    }
  }

  it('performer comes near dense attention as features grow', async () => {
    const input = randomInput({ queries: 30, heads: 1 });
    input.rule.scale[0] = 0.05;
    const distance = async (features: number) => {
      const { row } = await run(performer, input, { features }, runtime);
      const map = softmaxRows(scoreMatrix(input, 0));
      return (
        map.reduce(
          (sum, r, i) => sum + r.reduce((s, x, j) => s + Math.abs(x - row(0, i).weights[j]!), 0),
          0,
        ) / 30
      );
    };
    const [few, many] = [await distance(8), await distance(2048)];
    assert.ok(many < 0.1 && many < few / 3, `${few} with 8 features, ${many} with 2048`);
  });

  it('linformer with the identity is dense; its own projections are means of stretches', async () => {
    const input = randomInput({ queries: 12 });
    const identity = Float32Array.from({ length: 144 }, (_, t) => (t % 13 === 0 ? 1 : 0));
    const own = { projection_k: float32(identity, [12, 12]), projection_v: float32(identity, [12, 12]) };
    await check(linformer, input, {}, own, h => softmaxRows(scoreMatrix(input, h)));
    const made = (await run(linformer, input, { rank: 5 }, runtime)).own['projection_k']!;
    const columns = [0, 1, 2, 3, 4].map(r =>
      Array.from({ length: 12 }, (_, j) => Number(made.data[j * 5 + r])),
    );
    for (const column of columns) assert.ok(Math.abs(column.reduce((a, b) => a + b) - 1) < 1e-6);
    for (let j = 0; j < 12; j++) assert.equal(columns.filter(column => column[j]! > 0).length, 1);
  });

  it('nystrom with every token a landmark is dense', async () => {
    const input = randomInput({ queries: 9, dim: 16 });
    await check(
      nystrom,
      input,
      { landmarks: 9, pinv: 'exact' },
      {},
      h => softmaxRows(scoreMatrix(input, h)),
      1e-3,
    );
  });

  it('nystrom by singular values keeps its digits when landmarks are alike', async () => {
    const input = randomInput({ queries: 24, seed: 3 });
    input.rule.scale.fill(0.1);
    const oracle = (h: number) => nystromMap(input, h, 4, inverse);
    await check(nystrom, input, { landmarks: 4, pinv: 'exact' }, {}, oracle);
  });

  it('pseudo-inverse of a singular matrix fulfils the Penrose conditions', () => {
    const n = 6;
    const a = Float64Array.from(gaussians(n * 2, 1));
    const b = Float64Array.from(gaussians(2 * n, 2));
    const singular = multiply(a, b, n, 2, n);
    const plus = exactPseudoInverse(singular, n);
    const apa = multiply(multiply(singular, plus, n, n, n), singular, n, n, n);
    assertClose(apa, singular, 'A A+ A', 1e-10);
    const pap = multiply(multiply(plus, singular, n, n, n), plus, n, n, n);
    assertClose(pap, plus, 'A+ A A+', 1e-10);
    const ap = multiply(singular, plus, n, n, n);
    assertClose(
      ap,
      ap.map((_, t) => ap[(t % n) * n + Math.floor(t / n)]!),
      'A A+ symmetric',
      1e-10,
    );
  });

  it('refuses what cannot be', () => {
    for (const mechanism of [linformer, nystrom, performer])
      assert.match(mechanism.refuses!(randomInput({ queries: 5, bias: 'alibi' }), {})!, /bias/);
  });
});
