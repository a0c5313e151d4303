import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { compressive } from '../../engine/attention/mechanisms/compressive';
import { transformerXl } from '../../engine/attention/mechanisms/transformerXl';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32 } from '../../engine/runtime/tensor';
import {
  headMatrices,
  multiply,
  scoreMatrix,
  softmaxRows,
  transpose,
  type Matrix,
} from '../oracle/approximations';
import { assertClose, assertMaps, assertMatches, assertNoFuture, assertRows, run } from '../oracle/check';
import { denseLse, maskedAttention } from '../oracle/edges';
import { gaussians, randomInput } from '../oracle/inputs';

describe('mechanisms with a memory', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  describe('transformer-xl', () => {
    for (const [segment, memory] of [
      [16, 16],
      [10, 0],
      [7, 25],
      [500, 3],
    ] as const) {
      it(`what-if: segments of ${segment}, memory ${memory}`, async () => {
        for (const shape of [
          { queries: 53, bias: 'alibi' },
          { queries: 30, keys: 71, heads: 4, kvHeads: 2 },
          { queries: 40, bias: 'holes' },
          { queries: 1 },
        ] as const) {
          const input = randomInput({ ...shape, causal: true });
          const shift = input.keys - input.queries;
          const attended = await run(transformerXl, input, { segment, memory }, runtime);
          const keep = (_h: number, p: number, j: number, i: number) =>
            j >= shift + Math.floor(i / segment) * segment - memory && j <= p ? 1 : 0;
          assertMatches(input, attended, maskedAttention(input, keep), 'transformer-xl');
        }
      });
    }

    /** The relative shift of the paper's appendix B: prepend a column of zeros, reshape, drop the first row. */
    function relativeShift(rows: Matrix): Matrix {
      const [n, m] = [rows.length, rows[0]!.length];
      const flat = rows.flatMap(row => [0, ...row]).slice(n);
      return Array.from({ length: n }, (_, i) => flat.slice(i * m, (i + 1) * m));
    }

    for (const [queries, keys] of [
      [9, 9],
      [140, 140],
      [12, 31],
      [70, 150],
      [1, 5],
    ] as const) {
      it(`relative scores: ${queries} queries, ${keys} keys`, async () => {
        const input = randomInput({ queries, keys, heads: 4, kvHeads: 2, causal: true });
        const { heads, dim } = input;
        const r = gaussians(heads * keys * dim, 20);
        const u = gaussians(heads * dim, 21);
        const v = gaussians(heads * dim, 22);
        const own = {
          r: float32(r, [heads, keys, dim]),
          u: float32(u, [heads, dim]),
          v_bias: float32(v, [heads, dim]),
        };
        const attended = await run(transformerXl, input, {}, runtime, own);
        const maps = Array.from({ length: heads }, (_, h) => {
          const { q, k } = headMatrices(input, h);
          const root = Math.sqrt(input.rule.scale[h]!);
          const plus = (x: Float32Array) => q.map(row => row.map((y, c) => y + root * x[h * dim + c]!));
          // Rows for distances keys-1 .. 0, as the shift wants them.
          const far = Array.from({ length: keys }, (__, t) =>
            Array.from({ length: dim }, (___, c) => root * r[(h * keys + keys - 1 - t) * dim + c]!),
          );
          const content = multiply(plus(u), transpose(k));
          const position = relativeShift(multiply(plus(v), transpose(far)));
          return softmaxRows(
            content.map((row, i) =>
              row.map((x, j) => (j <= i + keys - queries ? x + position[i]![j]! : -Infinity)),
            ),
          );
        });
        assertMaps(input, attended, maps, 'transformer-xl');
        assert.equal(attended.lse, null);
        const shares = attended.extra['term_shares']!;
        assert.deepEqual(shares.dims, [heads, 4]);
        for (let h = 0; h < heads; h++) {
          const sum = (shares.data as Float32Array).subarray(h * 4, h * 4 + 4).reduce((a, b) => a + b);
          assert.ok(Math.abs(sum - 1) < 1e-6, `the four terms add up to ${sum}`);
        }
      });
    }

    it('takes scores apart: a term that is alone has all of the share', async () => {
      const input = randomInput({ queries: 20, heads: 1, causal: true });
      const n = (size: number, seed: number) => gaussians(size, seed);
      const zero = (size: number) => new Float32Array(size);
      const { dim } = input;
      const shares = async (q: Float32Array, r: Float32Array, u: Float32Array, v: Float32Array) => {
        const own = { r: float32(r, [1, 20, dim]), u: float32(u, [1, dim]), v_bias: float32(v, [1, dim]) };
        return [...(await run(transformerXl, { ...input, q }, {}, runtime, own)).extra['term_shares']!.data];
      };
      const [r, bias] = [n(20 * dim, 3), n(dim, 4)];
      assertClose(
        (await shares(input.q, zero(r.length), zero(dim), zero(dim))).map(Number),
        [1, 0, 0, 0],
        'a',
      );
      assertClose((await shares(zero(input.q.length), r, bias, zero(dim))).map(Number), [0, 0, 1, 0], 'c');
      assertClose((await shares(zero(input.q.length), r, zero(dim), bias)).map(Number), [0, 0, 0, 1], 'd');
      const content = { ...input, k: zero(input.k.length) };
      const own = {
        r: float32(r, [1, 20, dim]),
        u: float32(bias, [1, dim]),
        v_bias: float32(zero(dim), [1, dim]),
      };
      const only = await run(transformerXl, content, {}, runtime, own);
      assertClose([...only.extra['term_shares']!.data].map(Number), [0, 1, 0, 0], 'b');
    });

    it('refuses tensors that do not fit', async () => {
      const input = randomInput({ queries: 4, causal: true });
      await assert.rejects(
        run(transformerXl, input, {}, runtime, { r: float32(new Float32Array(8), [8]) }),
        /"r" must be/,
      );
    });
  });

  describe('compressive', () => {
    interface Case {
      segment: number;
      memory: number;
      compressed: number;
      rate: number;
    }
    interface Slot {
      k: number[];
      v: number[];
      tokens: number[];
    }
    /** One past the last token that the slots are made of. */
    const rawEnd = (kind: string, c: Case, old: number) =>
      kind === 'most-used' ? old : Math.floor(old / c.rate) * c.rate;
    /** Slots as lists of [key vector, value vector, tokens], then recent keys, one softmax over all. */
    function oracle(
      input: CoreInput,
      head: number,
      c: Case,
      kind: string,
      conv: Float32Array,
    ): { map: Matrix; output: Matrix; kept: number[]; reconstruction: number; autoencoding: number } {
      const { q, k, v } = headMatrices(input, head);
      const root = Math.sqrt(input.rule.scale[head]!);
      const shift = input.keys - input.queries;
      const dense = softmaxRows(scoreMatrix(input, head));
      const poolRows = (rows: Matrix, factor: number): number[] =>
        rows[0]!.map((_, x) => {
          const column = rows.map(row => row[x]!);
          if (kind === 'mean') return column.reduce((a, b) => a + b, 0) / c.rate;
          if (kind === 'max') return Math.max(...column.map(y => y / factor)) * factor;
          return rows.reduce(
            (sum, row, t) =>
              sum + row.reduce((s, y, z) => s + conv[(x * row.length + z) * c.rate + t]! * y, 0),
            0,
          );
        });
      // Of what falls out, those that the segment before (of the first: itself) looked at most, beside all it still saw.
      const memory: number[] = [];
      let done = 0;
      const used = (first: number, last: number, old: number): number[] => {
        const count = Math.floor(old / c.rate) - memory.length;
        if (count <= 0) return memory;
        const from = Math.max(0, first - c.segment);
        const scores = scoreMatrix(input, head).slice(from, from === first ? last : first);
        const seen = softmaxRows(scores.map(row => row.slice(done)));
        const use = Array.from({ length: old - done }, (_, j) => seen.reduce((s, row) => s + row[j]!, 0));
        const best = [...use.keys()].sort((a, b) => use[b]! - use[a]!).slice(0, count);
        memory.push(...best.sort((a, b) => a - b).map(j => j + done));
        done = old;
        return memory;
      };
      const map: Matrix = [];
      const output: Matrix = [];
      const kept: number[] = [];
      let [difference, norm] = [0, 0];
      let autoencoding = 0;
      for (let i = 0; i < input.queries; i++) {
        const first = Math.floor(i / c.segment) * c.segment;
        const last = Math.min(input.queries, first + c.segment);
        const old = Math.max(0, shift + first - c.memory);
        let slots: Slot[] = [];
        if (kind === 'most-used') {
          for (const j of used(first, last, old)) slots.push({ k: k[j]!, v: v[j]!, tokens: [j] });
        } else {
          for (let s = 0; s + c.rate <= old; s += c.rate) {
            slots.push({
              k: poolRows(k.slice(s, s + c.rate), root),
              v: poolRows(v.slice(s, s + c.rate), 1),
              tokens: Array.from({ length: c.rate }, (_, t) => s + t),
            });
          }
        }
        slots = c.compressed === 0 ? [] : slots.slice(-c.compressed);
        if (slots.length > 0) {
          const raw = Array.from(
            { length: rawEnd(kind, c, old) - slots[0]!.tokens[0]! },
            (_, t) => t + slots[0]!.tokens[0]!,
          );
          const over = (list: Slot[]): number[] => {
            const w = softmaxRows([list.map(x => x.k.reduce((s, y, z) => s + y * q[i]![z]!, 0))])[0]!;
            return v[0]!.map((_, x) => list.reduce((s, y, t) => s + w[t]! * y.v[x]!, 0));
          };
          const [full, small] = [over(raw.map(j => ({ k: k[j]!, v: v[j]!, tokens: [j] }))), over(slots)];
          full.forEach((x, t) => {
            difference += (x - small[t]!) ** 2;
            norm += x ** 2;
          });
          const lost = (pick: (slot: Slot) => number[], rows: Matrix): number => {
            const stands = new Map(slots.flatMap(slot => slot.tokens.map(j => [j, pick(slot)] as const)));
            let [above, below] = [0, 0];
            for (const j of raw) {
              rows[j]!.forEach((x, t) => {
                above += (x - (stands.get(j)?.[t] ?? 0)) ** 2;
                below += x ** 2;
              });
            }
            return above / below;
          };
          autoencoding = Math.sqrt((lost(slot => slot.k, k) + lost(slot => slot.v, v)) / 2);
        }
        const recent = Array.from({ length: i + shift + 1 - old }, (_, t) => old + t);
        const all = [...slots, ...recent.map(j => ({ k: k[j]!, v: v[j]!, tokens: [j] }))];
        const weights = softmaxRows([all.map(x => x.k.reduce((s, y, z) => s + y * q[i]![z]!, 0))])[0]!;
        const row = new Array<number>(input.keys).fill(0);
        all.forEach((x, t) => x.tokens.forEach(j => (row[j]! += weights[t]! / x.tokens.length)));
        map.push(row);
        output.push(v[0]!.map((_, x) => all.reduce((s, y, t) => s + weights[t]! * y.v[x]!, 0)));
        kept.push(all.filter(x => x.tokens.length === 1).reduce((s, x) => s + dense[i]![x.tokens[0]!]!, 0));
      }
      return {
        map,
        output,
        kept,
        reconstruction: norm === 0 ? 0 : Math.sqrt(difference / norm),
        autoencoding,
      };
    }

    const cases: Case[] = [
      { segment: 10, memory: 10, compressed: 3, rate: 3 },
      { segment: 16, memory: 4, compressed: 100, rate: 4 },
      { segment: 500, memory: 7, compressed: 5, rate: 2 },
      { segment: 9, memory: 0, compressed: 0, rate: 3 },
    ];
    for (const kind of ['mean', 'max', 'conv', 'most-used']) {
      for (const c of cases) {
        it(`${kind}: ${Object.entries(c)
          .map(([name, x]) => `${name} ${x}`)
          .join(', ')}`, async () => {
          for (const shape of [
            { queries: 53 },
            { queries: 30, keys: 71, heads: 4, kvHeads: 2 },
            { queries: 1 },
            { queries: 1, keys: 40 },
            { queries: 33, valueDim: 9 },
          ]) {
            if (kind === 'conv' && shape.valueDim) continue; // One kernel for keys and values.
            const input = randomInput({ valueDim: 6, ...shape, dim: 6, causal: true });
            const conv = gaussians(36 * c.rate, 30).map(x => x / 3);
            const own = { conv: float32(conv, [6, 6, c.rate]) };
            const attended = await run(compressive, input, { ...c, pool: kind }, runtime, own);
            const oracles = Array.from({ length: input.heads }, (_, h) => oracle(input, h, c, kind, conv));
            assertClose(
              attended.output,
              oracles.flatMap(o => o.output.flat()),
              'output',
            );
            for (const [name, expected] of [
              ['attention_reconstruction', oracles.map(o => o.reconstruction)],
              ['autoencoding', oracles.map(o => o.autoencoding)],
            ] as const) {
              assertClose(attended.extra[name]!.data as Float32Array, expected, name);
            }
            oracles.forEach((o, h) =>
              o.kept.forEach((mass, i) => {
                const kept = Math.exp(attended.lse![h * input.queries + i]! - denseLse(input, h, i));
                if (c.rate > 1)
                  assert.ok(Math.abs(kept - mass) < 2e-5, `query ${i} keeps ${kept}, not ${mass}`);
              }),
            );
            if (kind === 'mean' || kind === 'most-used') {
              assertRows(
                input,
                attended,
                oracles.map(o => o.map.map(row => Float64Array.from(row))),
                'rows',
              );
            }
          }
        });
      }
    }
  });

  for (const [mechanism, params] of [
    [transformerXl, { segment: 8, memory: 8 }],
    [compressive, { segment: 8, memory: 4, rate: 2 }],
    [compressive, { segment: 8, memory: 4, rate: 2, pool: 'most-used' }],
    [compressive, { segment: 8, memory: 0, rate: 4, pool: 'most-used' }],
  ] as const) {
    it(`${mechanism.info.name} does not look ahead: ${JSON.stringify(params)}`, async () => {
      const input = randomInput({ queries: 40, causal: true });
      for (const token of [1, 17, 39]) {
        await assertNoFuture(input, i => run(mechanism, i, params, runtime), token, mechanism.info.name);
      }
    });
  }
});
