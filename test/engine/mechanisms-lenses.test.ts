import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { bp } from '../../engine/attention/mechanisms/bp';
import { continuous } from '../../engine/attention/mechanisms/continuous';
import { singularProjections } from '../../engine/attention/maths/lowRank';
import { sparsefinder } from '../../engine/attention/mechanisms/sparsefinder';
import { readParams } from '../../engine/attention/parameters';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { float32, floats } from '../../engine/runtime/tensor';
import { apply, inverse, scoreMatrix, softmaxRows } from '../oracle/approximations';
import { assertClose, assertMaps, assertMatches, assertNoFuture, run } from '../oracle/check';
import { maskedAttention } from '../oracle/edges';
import { gaussians, randomInput, type Shape } from '../oracle/inputs';
import { continuousHead, spanMap, spansRead } from '../oracle/trees';

describe('mechanisms by tree, prediction and density', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  describe('bp', () => {
    for (const n of [1, 8, 16, 32, 37, 64, 100]) {
      for (const k of [1, 2, 4]) {
        it(`${n} tokens, k = ${k}: reads every token once`, () => {
          for (const causal of [true, false]) {
            for (let i = 0; i < n; i++) {
              const covered = new Array<number>(n).fill(0);
              for (const [from, to] of spansRead(n, i, k, causal))
                for (let j = from; j < to; j++) covered[j]!++;
              covered.forEach((times, j) => assert.equal(times, causal && j > i ? 0 : 1, `${i} reads ${j}`));
            }
          }
        });
      }
    }
    for (const shape of [
      { queries: 1 },
      { queries: 37 },
      { queries: 64, heads: 1 },
      { queries: 30, keys: 71, heads: 4, kvHeads: 2 },
      { queries: 150, heads: 1 },
    ]) {
      for (const [k, causal] of [
        [1, true],
        [3, true],
        [2, false],
        [500, true],
        [500, false],
      ] as const) {
        it(`${shape.queries} of ${shape.keys ?? shape.queries} tokens, k = ${k}${causal ? ', causal' : ''}`, async () => {
          const input = randomInput({ ...shape, causal });
          const attended = await run(bp, input, { k }, runtime);
          const maps = Array.from({ length: input.heads }, (_, h) => spanMap(input, h, k));
          assertMaps(input, attended, maps, 'bp');
          const shift = input.keys - input.queries;
          let reads = 0;
          for (let i = 0; i < input.queries; i++) reads += spansRead(input.keys, i + shift, k, causal).length;
          assert.equal(attended.pairs[0], reads);
          if (k < 500) return;
          const dense = Array.from({ length: input.heads }, (_, h) => softmaxRows(scoreMatrix(input, h)));
          assertClose(
            attended.output,
            dense.flatMap((map, h) => apply(input, h, map)),
            'dense',
          );
        });
      }
    }
    it('does not look ahead', async () => {
      const input = randomInput({ queries: 40, causal: true });
      for (const token of [1, 17, 39])
        await assertNoFuture(input, i => run(bp, i, { k: 2 }, runtime), token, 'bp');
    });
  });

  describe('sparsefinder', () => {
    const shapes: Record<string, Shape> = {
      'one token': { queries: 1, causal: true },
      causal: { queries: 53, causal: true },
      bidirectional: { queries: 45 },
      'grouped queries': { queries: 29, heads: 4, kvHeads: 2, causal: true },
      'more keys than queries': { queries: 11, keys: 40 },
      'opaque bias with holes': { queries: 33, bias: 'holes' },
    };
    /** Projections of one head, [tokens][rank] */
    function projections(input: CoreInput, head: number, wq: Float32Array, wk: Float32Array, rank: number) {
      const kv = Math.floor((head * input.kvHeads) / input.heads);
      const rows = (data: Float32Array, first: number, count: number, w: Float32Array) =>
        Array.from({ length: count }, (_, i) =>
          Array.from({ length: rank }, (__, d) => {
            let sum = 0;
            for (let c = 0; c < input.dim; c++) {
              sum += data[(first + i) * input.dim + c]! * w[(head * input.dim + c) * rank + d]!;
            }
            return sum;
          }),
        );
      return {
        q: rows(input.q, head * input.queries, input.queries, wq),
        k: rows(input.k, kv * input.keys, input.keys, wk),
      };
    }
    const distance = (a: number[], b: number[]) => Math.sqrt(a.reduce((s, x, d) => s + (x - b[d]!) ** 2, 0));
    const inWindow = (window: number, p: number, j: number) =>
      window > 0 && j >= p - Math.floor((window - 1) / 2) && j <= p + Math.floor(window / 2);

    for (const [name, shape] of Object.entries(shapes)) {
      for (const [rule, window] of [
        ['distance', 3],
        ['quantize', 4],
        ['cluster', 0],
        ['quantize', 0],
      ] as const) {
        it(`${name}: ${rule}, window ${window}`, async () => {
          const input = randomInput(shape);
          const { heads, dim } = input;
          const rank = 3;
          const wq = gaussians(heads * dim * rank, 40).map(x => x / 4);
          const wk = gaussians(heads * dim * rank, 41).map(x => x / 4);
          const centroids = gaussians(heads * 5 * rank, 42);
          const own = {
            wq: float32(wq, [heads, dim, rank]),
            wk: float32(wk, [heads, dim, rank]),
            centroids: float32(centroids, [heads, 5, rank]),
          };
          const params = { rule, window, threshold: 1.2, bucketSize: 4 };
          const attended = await run(sparsefinder, input, params, runtime, own);
          const groups: number[] = [];
          const perHead = Array.from({ length: heads }, (_, h) => {
            const { q, k } = projections(input, h, wq, wk, rank);
            const places = (rows: number[][], d: number) => {
              const order = rows.map((row, i) => [row[d]!, i] as const).sort((a, b) => a[0] - b[0]);
              return rows.map((__, i) => Math.floor(order.findIndex(([, t]) => t === i) / 4));
            };
            const cluster = (row: number[]) => {
              const away = Array.from({ length: 5 }, (__, c) =>
                distance(row, [...centroids.subarray((h * 5 + c) * rank, (h * 5 + c + 1) * rank)]),
              );
              return away.indexOf(Math.min(...away));
            };
            if (rule === 'distance') return (i: number, j: number) => distance(q[i]!, k[j]!) < 1.2;
            if (rule === 'cluster') {
              groups.push(...q.map(cluster));
              return (i: number, j: number) => cluster(q[i]!) === cluster(k[j]!);
            }
            const ofQ = [0, 1, 2].map(d => places(q, d));
            const ofK = [0, 1, 2].map(d => places(k, d));
            groups.push(...ofQ.flat());
            return (i: number, j: number) => [0, 1, 2].some(d => ofQ[d]![i] === ofK[d]![j]);
          });
          if (rule !== 'distance')
            assert.deepEqual(Array.from(attended.extra['buckets']!.data, Number), groups);
          const keep = (h: number, p: number, j: number, i: number) =>
            inWindow(window, p, j) || perHead[h]!(i, j) ? 1 : 0;
          assertMatches(input, attended, maskedAttention(input, keep), 'sparsefinder');
        });
      }
    }

    it('clusters are made beforehand and stay: attending to other queries fits nothing', async () => {
      const input = randomInput({ queries: 40, causal: true });
      const params = { rule: 'cluster', clusters: 5, window: 0 };
      const { own } = await run(sparsefinder, input, params, runtime);
      assert.deepEqual(own['centroids']!.dims, [2, 5, 4]);
      const read = readParams(sparsefinder.info, params);
      const context = { runtime, signal: neverCancelled };
      const alone = { wq: own['wq']!, wk: own['wk']! };
      await assert.rejects(sparsefinder.attend(input, read, { ...context, own: alone }), /"centroids"/);
      const other = { ...input, q: gaussians(input.q.length, 77) };
      const { extra } = await sparsefinder.attend(other, read, { ...context, own });
      const { q } = projections(other, 1, floats(own['wq']!), floats(own['wk']!), 4);
      const centroids = floats(own['centroids']!);
      q.forEach((row, i) => {
        const away = Array.from({ length: 5 }, (_, c) =>
          distance(row, [...centroids.subarray((5 + c) * 4, (6 + c) * 4)]),
        );
        assert.equal(Number(extra['buckets']!.data[40 + i]), away.indexOf(Math.min(...away)));
      });
    });

    it('its own projections keep the largest singular values', () => {
      // Q and K of rank 2 in 6 dimensions: two projections hold all of Q K^T.
      const [n, dim] = [30, 6];
      const make = (seed: number) => {
        const [a, b] = [gaussians(n * 2, seed), gaussians(2 * dim, 50)];
        return Float32Array.from({ length: n * dim }, (_, t) => {
          const [i, c] = [Math.floor(t / dim), t % dim];
          return 3 * a[2 * i]! * b[c]! + a[2 * i + 1]! * b[dim + c]!;
        });
      };
      const [q, k] = [make(51), make(52)];
      const { wq, wk } = singularProjections(q, k, dim, 2);
      const along = (rows: Float32Array, i: number, w: Float32Array, d: number) =>
        Array.from({ length: dim }, (_, c) => rows[i * dim + c]! * w[c * 2 + d]!).reduce((a, b) => a + b);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const full = Array.from({ length: dim }, (_, c) => q[i * dim + c]! * k[j * dim + c]!).reduce(
            (a, b) => a + b,
          );
          const low = along(q, i, wq, 0) * along(k, j, wk, 0) + along(q, i, wq, 1) * along(k, j, wk, 1);
          assert.ok(Math.abs(full - low) < 1e-3, `${i}, ${j}: ${low}, not ${full}`);
        }
      }
    });
  });

  describe('continuous', () => {
    for (const [basis, ridge] of [
      [8, 1],
      [16, 0.5],
      [2, 1],
    ] as const) {
      for (const shape of [
        { queries: 16 },
        { queries: 37 },
        { queries: 20, keys: 51, heads: 4, kvHeads: 2 },
        { queries: 1 },
      ]) {
        it(`${basis} bumps, ridge ${ridge}, ${shape.keys ?? shape.queries} keys`, async () => {
          const input = randomInput(shape);
          const attended = await run(continuous, input, { basis, ridge }, runtime);
          const oracles = Array.from({ length: input.heads }, (_, h) =>
            continuousHead(input, h, basis, ridge, inverse),
          );
          assertClose(
            attended.extra['mu']!.data as Float32Array,
            oracles.flatMap(o => o.mu),
            'mu',
          );
          assertClose(
            attended.extra['sigma']!.data as Float32Array,
            oracles.flatMap(o => o.sigma),
            'sigma',
          );
          const maps = oracles.map(o => o.map);
          assertMaps(input, attended, maps, 'continuous', { weightTolerance: 2e-5 });
        });
      }
    }
    it('refuses an odd basis', () => {
      assert.match(continuous.refuses!(randomInput({ queries: 4 }), { basis: 7 })!, /even/);
    });
  });
});
