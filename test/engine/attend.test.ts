import assert from 'node:assert/strict';
import { attend } from '../../engine/attend';
import { largest } from '../../engine/attention/kernels/membership';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { RefusedError, UsageError } from '../../engine/errors';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, floats, type Tensor } from '../../engine/runtime/tensor';
import { assertClose } from '../oracle/check';
import { maskedAttention } from '../oracle/edges';
import { gaussians, randomInput } from '../oracle/inputs';

describe('attend', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const q = float32(gaussians(4 * 20 * 8, 1), [4, 20, 8]);
  const k = float32(gaussians(2 * 20 * 8, 2), [2, 20, 8]);
  const v = float32(gaussians(2 * 20 * 5, 3), [2, 20, 5]);
  const call = (
    mechanism: string,
    params: Record<string, string> = {},
    tensors: Record<string, Tensor> = { q, k, v },
    causal = true,
  ) =>
    attend(tensors, { mechanism, params, causal, weights: true, runtime, signal: neverCancelled }).then(
      ({ tensors: given }) => given,
    );

  it('divides by the square root of the dimension and adds the bias', async () => {
    const bias = float32(gaussians(20 * 20, 4), [1, 20, 20]);
    const { output, weights } = await call('local', { window: '7' }, { q, k, v, bias });
    const input = {
      ...randomInput({ queries: 20, heads: 4, kvHeads: 2, dim: 8, valueDim: 5, causal: true }),
      q: floats(q),
      k: floats(k),
      v: floats(v),
    };
    input.rule.scale.fill(1 / Math.sqrt(8));
    input.rule.bias = { kind: 'opaque', heads: 1, data: floats(bias) };
    const oracle = maskedAttention(input, (_h, p, j) => (p - j < 7 ? 1 : 0));
    assert.deepEqual(output!.dims, [4, 20, 5]);
    assert.deepEqual(weights!.dims, [4, 20, 20]);
    assertClose(floats(output!), oracle.output, 'output');
    assertClose(
      floats(weights!),
      oracle.weights.flat().flatMap(row => [...row]),
      'weights',
      1e-6,
    );
  });

  for (const { info, refuses } of mechanisms) {
    it(`runs ${info.name} with nothing but q, k, v`, async () => {
      const causal = Boolean(refuses?.(randomInput({ queries: 4 }), readParams(info, {})));
      const results = await call(info.name, {}, { q, k: q, v: q }, causal);
      assert.deepEqual(results['output']!.dims, [4, 20, 8]);
      assert.ok(floats(results['output']!).every(Number.isFinite));
    });
  }

  // Only -Infinity hides a key: a row, or what a mechanism keeps of it, is a softmax whatever number its keys all carry.
  for (const far of [-5000, -1e9, -Math.fround(3.4028234e38), 1e9]) {
    it(`is a softmax over keys that all carry ${far}`, async () => {
      const data = gaussians(20 * 20, 4);
      const near = data.slice();
      data.fill(far, 3 * 20, 4 * 20);
      data.fill(far, 15 * 20, 15 * 20 + 15);
      data.fill(-Infinity, 15 * 20 + 15, 16 * 20);
      near.fill(0, 3 * 20, 4 * 20);
      near.fill(0, 15 * 20, 15 * 20 + 15);
      near.fill(-Infinity, 15 * 20 + 15, 16 * 20);
      // Query 8: everything near carries the number, keys further away do not.
      data.fill(far, 8 * 20 + 3, 8 * 20 + 9);
      const twin = { q, k, v, bias: float32(near, [1, 20, 20]) };
      const rowsOf = (tensor: Tensor, query: number) =>
        [0, 1, 2, 3].flatMap(h => {
          const width = tensor.dims[2]!;
          return [...floats(tensor).subarray((h * 20 + query) * width, (h * 20 + query + 1) * width)];
        });
      for (const [mechanism, params] of [
        ['dense', {}],
        ['local', { window: '12' }],
        ['strided', { stride: '4' }],
        ['fixed', { block: '6' }],
        ['lsh', { bucketSize: '4', rounds: '3' }],
        ['longformer', { window: '6' }],
        ['routing', { clusters: '3' }],
        ['entmax', { alpha: '1.5' }],
      ] as const) {
        const bias = float32(data, [1, 20, 20]);
        const { output, weights } = await call(mechanism, params, { q, k, v, bias });
        const expected = await call(mechanism, params, twin);
        // Beside the largest of them nothing is left of the scores: then the weights, float64 sums, tell.
        for (const query of Math.abs(far) > 1e30 ? [] : [3, 15]) {
          assertClose(rowsOf(output!, query), rowsOf(expected['output']!, query), `${mechanism}: ${query}`);
        }
        if (mechanism !== 'routing') assertWeighs(output!, weights!, mechanism);
      }
      const band = float32(data, [1, 20, 20]);
      const { output, weights } = await call('local', { window: '4' }, { q, k, v, bias: band });
      assertWeighs(output!, weights!, 'a window whose keys all carry it');
    });
  }

  /** The output is the weights times the values. */
  function assertWeighs(output: Tensor, weights: Tensor, what: string): void {
    const expected = new Float64Array(4 * 20 * 5);
    floats(weights).forEach((w, t) => {
      const at = (Math.floor(t / 800) * 20 + (t % 20)) * 5;
      for (let c = 0; c < 5; c++) expected[Math.floor(t / 20) * 5 + c]! += w * floats(v)[at + c]!;
    });
    assertClose(floats(output), expected, what);
  }

  it('reads float64 and float16, in the tensors of a mechanism as well', async () => {
    const [quarters, halves] = [float32(floats(q).map(quarter), q.dims), new Uint16Array(floats(q).length)];
    floats(quarters).forEach((x, t) => (halves[t] = halfBits(x)));
    const wide = (t: Tensor): Tensor => ({
      type: 'float64',
      data: Float64Array.from(floats(t)),
      dims: t.dims,
    });
    const rotations = float32(gaussians(8 * 3 * 2, 9), [8, 3, 2]);
    const expected = await call('lsh', { bucketSize: '4' }, { q: quarters, k, v, rotations });
    const half: Tensor = { type: 'float16', data: halves, dims: q.dims };
    const tensors = { q: half, k: wide(k), v: wide(v), rotations: wide(rotations) };
    const { output } = await call('lsh', { bucketSize: '4' }, tensors);
    assert.deepEqual(floats(output!), floats(expected['output']!));
    const fit = {
      q,
      k,
      v,
      span: { type: 'int64', data: BigInt64Array.of(1n, 2n, 3n, 4n), dims: [4] },
    } as const;
    await call('adaptive-span', {}, fit);
    const centroids = float32(gaussians(4 * 3 * 8, 5), [4, 3, 8]);
    await call('routing', {}, { q, k, v, centroids: wide(centroids) });
  });

  it('needs no k where keys are tied to the queries', async () => {
    for (const mechanism of ['lsh', 'routing']) {
      const expected = await call(mechanism, { sharedQK: 'True' });
      const { output } = await call(mechanism, { sharedQK: 'TRUE' }, { q, v });
      assert.deepEqual(floats(output!), floats(expected['output']!));
    }
  });

  it('runs mechanisms that are causal by definition without being told', async () => {
    for (const mechanism of ['transformer-xl', 'compressive']) {
      const expected = await call(mechanism);
      const { output } = await call(mechanism, {}, { q, k, v }, false);
      assert.deepEqual(floats(output!), floats(expected['output']!));
    }
  });

  it('adds a bias to the scores of transformer-xl and compressive', async () => {
    const data = gaussians(20 * 20, 4).map((x, t) => (t % 5 === 2 ? -Infinity : x));
    data.fill(-Infinity, 6 * 20, 7 * 20);
    const bias = float32(data, [1, 20, 20]);
    const dense = await call('dense', {}, { q, k, v, bias });
    const zeros = (dims: number[]) => float32(new Float32Array(dims.reduce((a, b) => a * b)), dims);
    const relative = { r: zeros([4, 20, 8]), u: zeros([4, 8]), v_bias: zeros([4, 8]) };
    for (const [mechanism, own] of [
      ['transformer-xl', {}],
      ['transformer-xl', relative],
      ['compressive', {}],
    ] as const) {
      const { output, weights } = await call(mechanism, { memory: '20' }, { q, k, v, bias, ...own });
      assertClose(floats(output!), floats(dense['output']!), mechanism);
      assertClose(floats(weights!), floats(dense['weights']!), mechanism, 1e-6);
    }
    const pooled = call('compressive', { memory: '2', segment: '5' }, { q, k, v, bias });
    await assert.rejects(pooled, /no place for a bias/);
  });

  it('shaped takes the mean of what is visible, not of what a bias hides', async () => {
    const bias = gaussians(20 * 20, 4).map((x, t) => (t % 3 === 1 ? -Infinity : x));
    const { output, weights } = await call(
      'shaped',
      { alpha: '0', beta: '0', gamma: '1' },
      { q, k, v, bias: float32(bias, [1, 20, 20]) },
      false,
    );
    const row = floats(weights!).subarray(0, 20);
    const seen = bias.subarray(0, 20).filter(x => x > -Infinity).length;
    row.forEach((w, j) => assert.ok(Math.abs(w + (bias[j]! > -Infinity ? 1 / seen : 0)) < 1e-6));
    assertWeighs(output!, weights!, 'shaped');
  });

  it('gives integers as int64', async () => {
    const results = await call('lsh', { bucketSize: '4', rounds: '3' });
    assert.equal(results['buckets']!.type, 'int64');
    assert.deepEqual(results['buckets']!.dims, [4, 3, 20]);
  });

  it('refuses tensors that do not fit, with a sentence', async () => {
    const refused = (tensors: Record<string, Tensor>, pattern: RegExp) =>
      assert.rejects(call('dense', {}, tensors), error => {
        assert.ok(error instanceof RefusedError);
        assert.match(error.message, pattern);
        return true;
      });
    await refused({ q, k }, /"v" is missing/);
    await refused({ q, k, v: float32(new Float32Array(2 * 19 * 5), [2, 19, 5]) }, /must agree/);
    await refused({ q, k, v, bias: float32(new Float32Array(20), [1, 1, 20]) }, /bias is \[1, 1, 20\]/);
    await refused({ q: { type: 'int32', data: new Int32Array(640), dims: [4, 20, 8] }, k, v }, /float32/);
    await refused({ q: float32(new Float32Array(3 * 20 * 8), [3, 20, 8]), k, v }, /multiple/);
    const holding = (t: Tensor, x: number) => float32(Float32Array.from(floats(t)).fill(x, 7, 8), t.dims);
    await refused({ q: holding(q, NaN), k, v }, /"q" holds NaN/);
    await refused({ q, k: holding(k, Infinity), v }, /"k" holds Infinity/);
    await refused({ q, k, v: holding(v, NaN) }, /"v" holds NaN/);
    const rotations = float32(gaussians(8 * 3 * 2, 9), [8, 3, 2]);
    await assert.rejects(call('lsh', { rounds: '2' }, { q, k, v, rotations }), /rounds is 2, .* 3 rounds/);
    const zeros = (...dims: number[]) => float32(new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
    const fitting = async (mechanism: string, own: Record<string, Tensor>, pattern: RegExp, params = {}) =>
      assert.rejects(call(mechanism, params, { q, k, v, ...own }), (error: Error) => {
        assert.ok(error instanceof RefusedError, String(error));
        return pattern.test(error.message);
      });
    await fitting('routing', { centroids: zeros(4, 3, 7) }, /"centroids" must be float32 \[4, clusters, 8\]/);
    await fitting('routing', { centroids: zeros(4, 3, 8) }, /clusters is 5, .* 3 clusters/, {
      clusters: '5',
    });
    await fitting('sparsefinder', { wq: zeros(4, 8, 2), wk: zeros(4, 8, 3) }, /"wq" .* rank of 2, "wk" .* 3/);
    await fitting('adaptive-span', { span: zeros(3) }, /"span" must be float32 \[4\], it is float32 \[3\]/);
    await fitting(
      'lsh',
      { rotations: zeros(9, 1, 2) },
      /"rotations" must be float32 \[8 or 10, rounds, half\]/,
    );
    await call('lsh', { rounds: '3' }, { q, k, v, rotations });
  });

  it('explains wrong usage', async () => {
    const wrong = (mechanism: string, params: Record<string, string>, pattern: RegExp) =>
      assert.rejects(call(mechanism, params), error => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, pattern);
        return true;
      });
    await wrong('telepathy', {}, /no mechanism "telepathy" \(there are: dense, local/);
    await wrong('local', { width: '3' }, /no parameter "width" \(it has: window\)/);
    await wrong('local', { window: 'many' }, /window of local must be a number, not "many"/);
    await wrong('local', { window: '2.5' }, /whole number/);
    await wrong('local', { window: '0' }, /at least 1/);
    await wrong('adaptive-span', { massTarget: '2' }, /at most 1/);
    await wrong('lsh', { sharedQK: 'perhaps' }, /true or false/);
  });
});

/** Multiples of 1/4 below 8 are exact in float16. */
const quarter = (x: number) => Math.round(x * 4) / 4;

function halfBits(x: number): number {
  if (x === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  const fraction = (Math.abs(x) / 2 ** exponent - 1) * 1024;
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

describe('the largest values of a row', () => {
  it('are those of a full sort, lower indices first on ties', () => {
    for (const [length, size, levels] of [
      [5000, 70, 1e9],
      [5000, 70, 20],
      [3000, 2900, 7],
      [40, 40, 3],
      [9, 1, 1],
    ] as const) {
      const values = gaussians(length, length + size).map(x => Math.round(x * levels) / levels);
      const into = new Int32Array(size);
      largest(values, size, into);
      const expected = Array.from(values, (x, i) => ({ x, i }))
        .sort((a, b) => b.x - a.x || a.i - b.i)
        .slice(0, size)
        .map(({ i }) => i)
        .sort((a, b) => a - b);
      assert.deepEqual([...into], expected, `${size} of ${length}`);
    }
  });
});
