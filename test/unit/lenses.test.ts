import assert from 'node:assert/strict';
import { curveOf, factorisedParameters } from '../../engine/lens/albert';
import { symmetricEigenvalues } from '../../engine/lens/eigenvalues';
import { blockSizes, flashIo, standardAccesses } from '../../engine/lens/flash';
import { chunkRead } from '../../engine/lens/retro';
import { meanCosine, sideBySide } from '../../engine/lens/rows';
import { attentionOperations, cacheBytes, evenLength, trainingOperations } from '../../engine/lens/scaling';
import { auxiliaryLoss, balanceOf } from '../../engine/lens/switch';
import { symmetricEigen } from '../../engine/attention/maths/lowRank';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type { CoreInfo } from '../../shared/protocol/engine';
import { gaussians, randomInput } from '../oracle/inputs';

const near = (actual: number, expected: number, tolerance: number, what = '') =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what} ${actual} is not ${expected}`);

describe('FlashAttention: traffic', () => {
  const shape = (queries: number, keys: number, causal: boolean) => ({
    queries,
    keys,
    dim: 8,
    valueDim: 6,
    rule: { mask: { causal, window: null } },
  });

  it('block sizes of Algorithm 1', () => {
    assert.deepEqual(blockSizes(49_152, 64), { rows: 64, columns: 192 });
    assert.deepEqual(blockSizes(100, 64), { rows: 1, columns: 1 });
  });

  for (const causal of [false, true]) {
    for (const [queries, keys] of [
      [64, 64],
      [37, 53],
      [1, 9],
    ] as const) {
      for (const sram of [32, 200, 1000, 100_000]) {
        it(`${queries} x ${keys}, ${causal ? 'causal' : 'full'}, M = ${sram}: counted load by load`, () => {
          const input = shape(queries, keys, causal);
          const { rows, columns } = blockSizes(sram, 8);
          // The loops of Algorithm 1, with tiles left out in which nothing is visible.
          let loads = 0;
          let tiles = 0;
          for (let j = 0; j < keys; j += columns) {
            const width = Math.min(columns, keys - j);
            let any = false;
            for (let i = 0; i < queries; i += rows) {
              const height = Math.min(rows, queries - i);
              if (causal && i + height - 1 + keys - queries < j) continue;
              any = true;
              tiles++;
              loads += height * 8 + height * 6 + 2 * height; // reads Q, O, l, m
              loads += height * 6 + 2 * height; // writes O, l, m
            }
            if (any) loads += width * (8 + 6);
          }
          const found = flashIo(input, sram);
          assert.equal(found.accesses, loads);
          assert.equal(found.tiles, tiles);
        });
      }
    }
  }

  it('standard attention moves the map four times', () => {
    assert.equal(standardAccesses(shape(10, 10, false)), 4 * 100 + 10 * (8 + 8 + 6 + 6));
  });

  it('falls with fast memory as n^2 d^2 / M', () => {
    const input = {
      queries: 4096,
      keys: 4096,
      dim: 64,
      valueDim: 64,
      rule: { mask: { causal: false, window: null } },
    };
    const ratio = flashIo(input, 2 ** 15).accesses / flashIo(input, 2 ** 17).accesses;
    near(ratio, 4, 0.4);
  });
});

describe('Switch: load and balance', () => {
  it('the balancing loss of an even router is alpha', () => {
    near(auxiliaryLoss([25, 25, 25, 25], [0.25, 0.25, 0.25, 0.25], 0.01), 0.01, 1e-12);
  });

  it('all tokens to one expert: alpha N', () => {
    near(auxiliaryLoss([100, 0, 0, 0], [1, 0, 0, 0], 0.01), 0.04, 1e-12);
  });

  it('tokens beyond the capacity are dropped in the order of the text', () => {
    // Five tokens, all to expert 0 of two; capacity ceil(5 / 2 x 1) = 3.
    const p = Float64Array.from({ length: 10 }, (_, t) => (t % 2 === 0 ? 0.9 : 0.1));
    const found = balanceOf(p, 2, 1);
    assert.equal(found.capacity, 3);
    assert.deepEqual([...found.dropped], [0, 0, 0, 1, 1]);
    assert.equal(found.dropRate, 0.4);
    assert.deepEqual(found.load, [5, 0]);
    near(found.probability[0]!, 0.9, 1e-12);
    assert.equal(balanceOf(p, 2, 2).dropRate, 0);
  });
});

describe('ALBERT: parameters and spectrum', () => {
  it("the paper's table: 23.04 to 3.94 million", () => {
    assert.equal(30_000 * 768, 23_040_000);
    assert.equal(factorisedParameters(30_000, 768, 128), 3_938_304);
  });

  it('eigenvalues agree with those by rotations', async () => {
    for (const n of [1, 2, 3, 17, 40]) {
      const x = gaussians(2 * n * n, n);
      const matrix = new Float64Array(n * n);
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++)
          for (let r = 0; r < 2 * n; r++) matrix[i * n + j]! += x[r * n + i]! * x[r * n + j]!;
      const found = await symmetricEigenvalues(matrix, n, neverCancelled);
      const { values } = symmetricEigen(matrix, n);
      for (let t = 0; t < n; t++) near(found[t]!, values[t]!, 1e-9 * values[0]!, `${n}: ${t}`);
    }
  });

  it('eigenvalues of matrices with zeros and repetitions', async () => {
    const diagonal = Float64Array.of(3, 0, 0, 0, 3, 0, 0, 0, 0);
    assert.deepEqual([...(await symmetricEigenvalues(diagonal, 3, neverCancelled))], [3, 3, 0]);
    const ones = new Float64Array(16).fill(1);
    const found = await symmetricEigenvalues(ones, 4, neverCancelled);
    near(found[0]!, 4, 1e-12);
    for (let t = 1; t < 4; t++) near(found[t]!, 0, 1e-12);
  });

  it('the error at a rank is the root of the squares left out', () => {
    const curve = curveOf(Float64Array.of(9, 4, 2, 1), 100, 4);
    assert.deepEqual(
      curve.map(p => p.rank),
      [1, 2, 3, 4],
    );
    near(curve[0]!.error, Math.sqrt(7 / 16), 1e-12);
    near(curve[1]!.error, Math.sqrt(3 / 16), 1e-12);
    assert.equal(curve[3]!.error, 0);
    assert.equal(curve[1]!.parameters, 100 * 2 + 2 * 4);
  });
});

describe('RETRO: who reads what', () => {
  it('the last token of a chunk is the first to read its neighbours', () => {
    const reads = Array.from({ length: 12 }, (_, i) => chunkRead(i, 4));
    assert.deepEqual(reads, [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]);
  });

  it('tokens um+m-1 .. um+2m-2 read chunk u', () => {
    for (const [u, m] of [
      [0, 64],
      [3, 64],
      [5, 7],
    ] as const) {
      assert.equal(chunkRead(u * m + m - 2, m), u - 1);
      assert.equal(chunkRead(u * m + m - 1, m), u);
      assert.equal(chunkRead(u * m + 2 * m - 2, m), u);
      assert.equal(chunkRead(u * m + 2 * m - 1, m), u + 1);
    }
  });
});

describe('rows', () => {
  it('mean cosine of all pairs', () => {
    near(meanCosine(Float32Array.of(1, 0, 2, 0, 5, 0), 2), 1, 1e-7);
    near(meanCosine(Float32Array.of(1, 0, 0, 3), 2), 0, 1e-7);
    const rows = gaussians(30, 4);
    let sum = 0;
    for (let i = 0; i < 10; i++) {
      for (let j = 0; j < 10; j++) {
        if (i === j) continue;
        const [a, b] = [rows.subarray(3 * i, 3 * i + 3), rows.subarray(3 * j, 3 * j + 3)];
        const dot = a[0]! * b[0]! + a[1]! * b[1]! + a[2]! * b[2]!;
        sum += dot / (Math.hypot(...a) * Math.hypot(...b));
      }
    }
    near(meanCosine(rows, 3), sum / 90, 1e-6);
  });

  it('heads side by side', () => {
    const input = randomInput({ heads: 2, queries: 2, valueDim: 2 });
    const { rows, width } = sideBySide(input, Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    assert.equal(width, 4);
    assert.deepEqual([...rows], [1, 2, 5, 6, 3, 4, 7, 8]);
  });
});

describe('scaling', () => {
  const core = { heads: 12, kvHeads: 12, dim: 64, causal: false, kind: 'self' } as CoreInfo;
  const cores = Array.from({ length: 12 }, () => core);

  it('GPT-3: 6 N D is the published 3.15e23', () => {
    near(trainingOperations(175e9, 300e9), 3.15e23, 1e9);
  });

  it('attention of 12 layers, 12 heads of 64 at 512 tokens', () => {
    assert.equal(attentionOperations(cores, 512), 12 * 4 * 12 * 64 * 512 * 512);
  });

  it('attention and weights need as much at the even length', () => {
    // 4 L D n^2 = 2 P n
    const even = evenLength(cores, 85e6);
    near(even, (2 * 85e6) / (4 * 12 * 768), 2);
  });

  it("LLaMA-7B keeps half a megabyte of keys and values per token; queries of a cross-attention's text keep none", () => {
    const llama = Array.from({ length: 32 }, () => ({ ...core, kvHeads: 32, dim: 128 }));
    assert.equal(cacheBytes(llama, 2), 524_288);
    assert.equal(
      cacheBytes(
        [
          { ...core, kind: 'cross' },
          { ...core, kind: 'encoder' },
        ],
        2,
      ),
      0,
    );
  });
});
