import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import type { Mechanism } from '../../engine/attention/mechanism';
import { continuous } from '../../engine/attention/mechanisms/continuous';
import { linformer } from '../../engine/attention/mechanisms/linformer';
import { nystrom } from '../../engine/attention/mechanisms/nystrom';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32 } from '../../engine/runtime/tensor';
import { inverse, newtonInverse, type Matrix } from '../oracle/approximations';
import { assertApproximates, run } from '../oracle/check';
import { gaussians, randomInput, type Shape } from '../oracle/inputs';
import { continuousPast, linformerPast, nystromPast, withPast } from '../oracle/pastSummary';

const shapes: Record<string, Shape> = {
  'five segments': { queries: 37 },
  'grouped queries': { queries: 30, heads: 4, kvHeads: 2 },
  'more keys than queries': { queries: 21, keys: 40 },
  'one segment': { queries: 6 },
};

describe('causal attention with a summary of the past', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const check = (
    mechanism: Mechanism,
    input: CoreInput,
    params: Record<string, unknown>,
    oracle: (head: number) => Matrix,
    tolerance?: number,
  ) => assertApproximates(mechanism, input, params, oracle, { runtime, tolerance });

  for (const [name, shape] of Object.entries(shapes)) {
    const input = () => randomInput({ ...shape, causal: true });

    for (const projection of ['mean', 'random'])
      it(`linformer, ${projection}, ${name}`, async () => {
        const given = input();
        const seed = projection === 'random' ? 3 : null;
        const params = { rank: 5, segment: 8, projection, ...(seed && { seed }) };
        const tolerance = seed ? 1e-4 : 2e-5;
        const oracle = (h: number) => withPast(given, h, 8, linformerPast(given, h, 5, seed));
        await check(linformer, given, params, oracle, tolerance);
      });

    if (shape.keys === undefined)
      for (const pinv of ['exact', 'iterative'] as const)
        it(`nystrom, ${pinv}, ${name}`, async () => {
          const given = input();
          const invert = pinv === 'exact' ? inverse : newtonInverse;
          const oracle = (h: number) => withPast(given, h, 8, nystromPast(given, h, 4, invert));
          await check(nystrom, given, { landmarks: 4, segment: 8, pinv }, oracle, 1e-3);
        });

    for (const memory of ['sticky', 'even', 'whole'])
      it(`continuous, ${memory}, ${name}`, async () => {
        const given = input();
        const past = continuousPast(given, { bumps: 8, ridge: 1, segment: 8, memory }, inverse);
        await check(continuous, given, { basis: 8, segment: 8, memory }, h => withPast(given, h, 8, past(h)));
      });
  }

  it('sticky memories hold what was attended to more exactly than what was not', async () => {
    // Every query looks at one token of the first segment; a memory that is squeezed 12 times keeps it near its place.
    const input = randomInput({ queries: 400, heads: 1, dim: 8, causal: true, seed: 5 });
    const [token, direction] = [9, gaussians(8, 1)];
    for (let i = 0; i < 400; i++)
      for (let c = 0; c < 8; c++) {
        input.q[i * 8 + c] = 3 * direction[c]!;
        input.k[i * 8 + c] = (Math.abs(i - token) < 4 ? 1 : -0.2) * direction[c]!;
      }
    const near = async (memory: string) => {
      const { row } = await run(continuous, input, { segment: 32, memory }, runtime);
      const { keys, weights } = row(0, 390);
      let sum = 0;
      keys.forEach((key, t) => {
        if (Math.abs(key - token) < 8) sum += weights[t]!;
      });
      return sum;
    };
    const [sticky, even] = [await near('sticky'), await near('even')];
    assert.ok(
      sticky > 1.2 * even,
      `${sticky} of the attention is near the token, ${even} without sticky memories`,
    );
  });

  it('refuses what has no causal form', async () => {
    const more = randomInput({ queries: 5, keys: 9, causal: true });
    assert.match(nystrom.refuses!(more, {})!, /needs a query for every key/);
    const input = randomInput({ queries: 12, causal: true });
    const given = { projection_k: float32(gaussians(60, 1), [12, 5]) };
    await assert.rejects(run(linformer, input, {}, runtime, given), /mix the whole text/);
  });
});
