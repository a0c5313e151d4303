import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { dense } from '../../engine/attention/mechanisms/dense';
import { lsh } from '../../engine/attention/mechanisms/lsh';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, type Tensor } from '../../engine/runtime/tensor';
import { assertClose, assertRows, run } from '../oracle/check';
import { denseLse } from '../oracle/edges';
import { gaussians, randomInput, type Shape } from '../oracle/inputs';
import { bucketOf, lshHead, type LshOptions } from '../oracle/lsh';

function rotations(dim: number, rounds: number, half: number, seed = 5): Tensor & { type: 'float32' } {
  return { type: 'float32', data: gaussians(dim * rounds * half, seed), dims: [dim, rounds, half] };
}

/** [heads][rounds][tokens] in float64. */
function buckets(
  data: Float32Array,
  tokens: number,
  r: Tensor & { type: 'float32' },
  dim: number,
): number[][][] {
  const heads = data.length / tokens / dim;
  return Array.from({ length: heads }, (_, h) =>
    Array.from({ length: r.dims[1]! }, (__, round) =>
      Array.from({ length: tokens }, (___, i) =>
        bucketOf(data.subarray((h * tokens + i) * dim, (h * tokens + i + 1) * dim), r, round),
      ),
    ),
  );
}

describe('lsh', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  async function check(input: CoreInput, options: LshOptions, rounds: number, half: number): Promise<void> {
    const r = rotations(input.dim, rounds, half);
    const attended = await run(lsh, input, { ...options, rounds }, runtime, { rotations: r });
    const q = buckets(input.q, input.queries, r, input.dim);
    const k = buckets(input.k, input.keys, r, input.dim);
    const found = attended.extra['buckets']!;
    assert.deepEqual(found.dims, [input.heads, rounds, input.queries]);
    assert.deepEqual(Array.from(found.data, Number), q.flat(2), 'buckets');
    if (!options.sharedQK) {
      const kv = Array.from(
        { length: input.heads },
        (_, h) => k[Math.floor((h * input.kvHeads) / input.heads)]!,
      );
      assert.deepEqual(Array.from(attended.extra['key_buckets']!.data, Number), kv.flat(2), 'key buckets');
    }
    const output: number[] = [];
    const weights: Float64Array[][] = [];
    for (let h = 0; h < input.heads; h++) {
      const kv = k[Math.floor((h * input.kvHeads) / input.heads)]!;
      const oracle = lshHead(input, h, q[h]!, options.sharedQK ? q[h]! : kv, options);
      output.push(...oracle.output.flat());
      weights.push(oracle.weights.map(row => Float64Array.from(row)));
      assert.equal(attended.pairs[h], oracle.pairs, `pairs of head ${h}`);
      if (options.sharedQK) continue;
      oracle.recall.forEach((recall, i) => {
        const kept = Math.exp(attended.lse![h * input.queries + i]! - denseLse(input, h, i));
        assert.ok(Math.abs((recall === 0 ? 0 : kept) - recall) < 2e-5, `recall of ${i}: ${kept}, ${recall}`);
      });
    }
    assertClose(attended.output, output, 'output');
    assertRows(input, attended, weights, 'rows');
    if (options.sharedQK) assert.equal(attended.lse, null);
  }

  const shapes: Record<string, Shape> = {
    'causal, even': { queries: 32, causal: true },
    'bidirectional, even': { queries: 32 },
    'causal, uneven': { queries: 37, causal: true },
    'bidirectional, uneven': { queries: 45, heads: 3 },
    'one token': { queries: 1, causal: true },
    'grouped queries': { queries: 30, heads: 4, kvHeads: 2, causal: true },
    'opaque bias': { queries: 26, bias: 'opaque', causal: true },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    for (let flags = 0; flags < 8; flags++) {
      const options: LshOptions = {
        bucketSize: 8,
        sharedQK: (flags & 1) !== 0,
        attendAcrossBuckets: (flags & 2) !== 0,
        allowDuplicates: (flags & 4) !== 0,
      };
      if (options.sharedQK && shape.bias) continue;
      it(`${name}, ${
        Object.entries(options)
          .filter(([, on]) => on === true)
          .map(([flag]) => flag)
          .join(' + ') || 'no flags'
      }`, async () => {
        for (const [rounds, half] of [
          [1, 2],
          [3, 4],
        ] as const) {
          await check(randomInput(shape), options, rounds, half);
        }
      });
    }
  }

  it('tied keys of which a bias hides some: the rows are those of the output', async () => {
    for (const causal of [true, false]) {
      const input = randomInput({ queries: 40, causal, bias: 'holes' });
      for (const attendAcrossBuckets of [true, false]) {
        const options = { sharedQK: true, attendAcrossBuckets, bucketSize: 4, rounds: 2 };
        const own = { rotations: rotations(input.dim, 2, 3) };
        assertRows(input, await run(lsh, input, options, runtime, own), null, 'rows');
      }
    }
  });

  it('more keys than queries, and a chunk larger than all', async () => {
    const options = { sharedQK: false, attendAcrossBuckets: true, allowDuplicates: false };
    await check(randomInput({ queries: 13, keys: 50, causal: true }), { ...options, bucketSize: 6 }, 2, 3);
    await check(randomInput({ queries: 13, keys: 50 }), { ...options, bucketSize: 200 }, 2, 3);
  });

  it('one chunk over everything is dense attention', async () => {
    for (const causal of [true, false]) {
      const input = randomInput({ queries: 40, causal });
      const { output } = await run(lsh, input, { bucketSize: 500, rounds: 3 }, runtime);
      assertClose(output, (await run(dense, input, {}, runtime)).output, 'output');
    }
  });

  it('one chunk over everything is dense attention in one round too: no key lies behind the last query', async () => {
    for (const [queries, keys] of [
      [7, 7],
      [5, 9],
      [28, 31],
    ] as const) {
      const input = randomInput({ queries, keys });
      const { output } = await run(lsh, input, { bucketSize: 512, rounds: 1 }, runtime);
      assertClose(output, (await run(dense, input, {}, runtime)).output, 'output');
    }
  });

  it('makes padded rotations where none are given, the same for the same seed', async () => {
    const input = randomInput({ queries: 300, causal: true, heads: 1 });
    const params = { bucketSize: 2, rounds: 2, seed: 3 };
    const a = await run(lsh, input, params, runtime);
    const b = await run(lsh, input, params, runtime);
    assert.deepEqual(a.extra['buckets'], b.extra['buckets']);
    assert.equal(a.own['rotations']!.dims[0], input.dim + 2);
    const count = 4 * a.own['rotations']!.dims[2]! * a.own['rotations_fine']!.dims[2]!;
    const ids = Array.from(a.extra['buckets']!.data, Number);
    assert.ok(ids.every(id => id >= 0 && id < count) && Math.max(...ids) > count / 2);
    // The hash of padded vectors, in float64.
    const { dim } = input;
    const norm = (x: Float32Array, i: number) =>
      x.subarray(i * dim, (i + 1) * dim).reduce((s, y) => s + y * y, 0);
    let longest = 0;
    for (let i = 0; i < 300; i++) longest = Math.max(longest, norm(input.q, i), norm(input.k, i));
    const fine = a.own['rotations_fine'] as Tensor & { type: 'float32' };
    for (let i = 0; i < 300; i++) {
      const q = [...input.q.subarray(i * dim, (i + 1) * dim), 0, Math.sqrt(longest - norm(input.q, i))];
      const k = [
        ...input.k.subarray(i * dim, (i + 1) * dim),
        Math.sqrt(Math.max(0, longest - norm(input.k, i))),
        0,
      ];
      const hash = (x: number[]) =>
        bucketOf(x, a.own['rotations'] as typeof fine, 1) * 2 * fine.dims[2]! + bucketOf(x, fine, 1);
      assert.equal(ids[300 + i], hash(q), `query ${i}`);
      assert.equal(Number(a.extra['key_buckets']!.data[300 + i]), hash(k), `key ${i}`);
    }
  });

  it('refuses rotations that do not fit', async () => {
    const input = randomInput({ queries: 8 });
    await assert.rejects(run(lsh, input, {}, runtime, { rotations: rotations(5, 1, 2) }), /5 dimensions/);
    const flat = { rotations: float32(new Float32Array(8), [8]) };
    await assert.rejects(run(lsh, input, {}, runtime, flat), /rotations/);
  });
});
