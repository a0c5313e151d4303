import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { bigbird } from '../../engine/attention/mechanisms/bigbird';
import { dense } from '../../engine/attention/mechanisms/dense';
import { entmaxAttention } from '../../engine/attention/mechanisms/entmax';
import { longformer } from '../../engine/attention/mechanisms/longformer';
import { verticalSlash } from '../../engine/attention/mechanisms/verticalSlash';
import { settingOf } from '../../engine/attention/parameters';
import { choiceNote, findMechanism } from '../../engine/attention/registry';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { int64 } from '../../engine/runtime/tensor';
import { entmaxRow, scoreMatrix, softmaxRows } from '../oracle/approximations';
import { assertClose, assertMaps, assertMatches, assertNoFuture, run, TOLERANCE } from '../oracle/check';
import { hidden, maskedAttention } from '../oracle/edges';
import { random, randomInput, type Shape } from '../oracle/inputs';

const shapes: Record<string, Shape> = {
  'one token': { queries: 1, causal: true },
  causal: { queries: 53, causal: true },
  bidirectional: { queries: 53 },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2, causal: true },
  'more keys than queries': { queries: 11, keys: 40, causal: true },
  'soft cap and alibi': { queries: 33, causal: true, softCap: 2, bias: 'alibi' },
  'opaque bias with holes': { queries: 33, bias: 'holes' },
  'model window': { queries: 50, causal: true, window: { before: 9, after: 0 } },
};

describe('mechanisms that keep a pattern of pairs', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const [name, shape] of Object.entries(shapes)) {
    const input = randomInput(shape);
    describe(name, () => {
      for (const [window, globals] of [
        [3, [0]],
        [0, [2, 9, 25]],
        [100, [5]],
        [4, []],
      ] as const) {
        it(`longformer, window ${window}, globals ${globals.join() || 'none'}`, async () => {
          const attended = await run(longformer, input, { window, globals: globals.join('+') }, runtime);
          const set = new Set<number>(globals);
          const keep = (_h: number, p: number, j: number) =>
            Math.abs(p - j) <= window || set.has(p) || set.has(j) ? 1 : 0;
          assertMatches(input, attended, maskedAttention(input, keep), 'longformer');
        });
      }
      for (const [block, globalBlocks] of [
        [4, 2],
        [7, 0],
        [5, 3],
        [64, 2],
      ] as const) {
        it(`bigbird, blocks of ${block}, ${globalBlocks} global`, async () => {
          const blocks = Math.ceil(input.keys / block);
          const rows = Math.max(0, blocks - 2);
          const next = random(block);
          const drawn = Array.from({ length: input.heads * rows * 2 }, () => Math.floor(next() * blocks));
          const own = { random_blocks: int64(drawn, [input.heads, rows, 2]) };
          const attended = await run(bigbird, input, { block, globalBlocks }, runtime, own);
          const global = new Set([0, blocks - 1, 1].slice(0, globalBlocks).map(b => Math.min(b, blocks - 1)));
          const keep = (h: number, p: number, j: number) => {
            const [a, b] = [Math.floor(p / block), Math.floor(j / block)];
            if (global.has(a) || global.has(b) || Math.abs(a - b) <= 1) return 1;
            if (a === 0 || a === blocks - 1) return 0;
            const at = (h * rows + a - 1) * 2;
            return drawn[at] === b || drawn[at + 1] === b ? 1 : 0;
          };
          assertMatches(input, attended, maskedAttention(input, keep), 'bigbird');
        });
      }
      for (const alpha of [1, 1.25, 1.5, 2, 3]) {
        it(`entmax, alpha ${alpha}`, async () => {
          const attended = await run(entmaxAttention, input, { alpha }, runtime);
          const maps = Array.from({ length: input.heads }, (_, h) => {
            const scores = scoreMatrix(input, h);
            if (alpha > 1) return scores.map(row => entmaxRow(row, alpha));
            return scores.map((row, i) =>
              row.every(s => s === -Infinity) ? row.map(() => 0) : softmaxRows(scores)[i]!,
            );
          });
          assertMaps(input, attended, maps, 'entmax');
          if (alpha === 1) return;
          const shift = input.keys - input.queries;
          maps.forEach((map, h) => {
            const support = map.map(row => row.filter(w => w > 0).length).reduce((a, b) => a + b, 0);
            assert.ok(Math.abs(attended.pairs[h]! - support) <= 1 + support / 200, `support ${support}`);
            map.forEach((row, i) =>
              row.forEach((w, j) => assert.ok(w === 0 || !hidden(input, i + shift, j))),
            );
          });
        });
      }
    });
  }

  it('entmax above 2, where weights rise steeply at the threshold', async () => {
    for (const alpha of [2.5, 3, 4]) {
      const input = randomInput({ queries: 300, heads: 3, dim: 16, causal: true, seed: 5 });
      input.q.forEach((x, t) => (input.q[t] = 3 * x));
      const attended = await run(entmaxAttention, input, { alpha }, runtime);
      const maps = [0, 1, 2].map(h => scoreMatrix(input, h).map(row => entmaxRow(row, alpha)));
      assertMaps(input, attended, maps, `alpha ${alpha}`, { weightTolerance: TOLERANCE });
    }
  });

  it('entmax keeps what dropping zeros leaves', async () => {
    const input = randomInput({ queries: 40, causal: true, dim: 4 });
    const { lse, row } = await run(entmaxAttention, input, { alpha: 1.5 }, runtime);
    const full = maskedAttention(input, () => 1);
    const support = maskedAttention(input, (h, p, j) => (row(h, p).keys.includes(j) ? 1 : 0));
    const denseRun = await run(dense, input, {}, runtime);
    const recall = lse!.map((x, t) => Math.exp(x - denseRun.lse![t]!));
    assertClose(recall, support.recall, 'recall');
    assert.ok(full.recall.every(r => Math.abs(r - 1) < 1e-12));
  });

  describe('vertical-slash', () => {
    /** Columns and diagonals by the mean of the last rows, ties to the lower index. */
    function lines(input: CoreInput, head: number, vertical: number, slash: number, last: number) {
      const map = softmaxRows(scoreMatrix(input, head));
      const columns = new Array<number>(input.keys).fill(0);
      const diagonals = new Array<number>(input.keys).fill(0);
      for (let i = Math.max(0, input.queries - last); i < input.queries; i++) {
        const p = i + input.keys - input.queries;
        for (let j = 0; j <= p; j++) {
          columns[j]! += map[i]![j]!;
          diagonals[p - j]! += map[i]![j]!;
        }
      }
      columns.fill(Infinity, 0, 30);
      diagonals.fill(Infinity, 0, 100);
      const best = (x: number[], n: number) =>
        new Set(
          x
            .map((s, t) => [s, t] as const)
            .sort((a, b) => (b[0] > a[0] ? 1 : b[0] < a[0] ? -1 : a[1] - b[1]))
            .slice(0, n)
            .map(([, t]) => t),
        );
      return { columns: best(columns, vertical), diagonals: best(diagonals, slash) };
    }
    for (const [what, shape] of Object.entries({
      even: { queries: 160 },
      'grouped, uneven': { queries: 173, heads: 4, kvHeads: 2 },
      'more keys than queries': { queries: 40, keys: 190 },
      alibi: { queries: 150, bias: 'alibi' },
      'a bias with holes': { queries: 145, bias: 'holes' },
      'one token': { queries: 1 },
      'shorter than the forced lines': { queries: 20 },
    } as Record<string, Shape>)) {
      for (const [vertical, slash, last] of [
        [40, 110, 16],
        [5, 7, 64],
        [33, 120, 500],
        [0, 101, 3],
      ] as const) {
        it(`${what}: ${vertical} columns, ${slash} diagonals, ${last} votes`, async () => {
          const input = randomInput({ ...shape, causal: true });
          const attended = await run(verticalSlash, input, { vertical, slash, last }, runtime);
          const chosen = Array.from({ length: input.heads }, (_, h) =>
            lines(input, h, vertical, slash, last),
          );
          const sorted = (sets: Set<number>[]) => sets.flatMap(set => [...set].sort((a, b) => a - b));
          assert.deepEqual(
            Array.from(attended.extra['columns']!.data, Number),
            sorted(chosen.map(c => c.columns)),
          );
          assert.deepEqual(
            Array.from(attended.extra['diagonals']!.data, Number),
            sorted(chosen.map(c => c.diagonals)),
          );
          const keep = (h: number, p: number, j: number) =>
            chosen[h]!.columns.has(j) || chosen[h]!.diagonals.has(p - j) ? 1 : 0;
          assertMatches(input, attended, maskedAttention(input, keep), 'vertical-slash');
        });
      }
    }
    it('forces as many lines as it is told, and scores no rows where that is all of them', async () => {
      const input = randomInput({ queries: 160, heads: 2, causal: true });
      const voted = { vertical: 12, slash: 20, forcedVertical: 2, forcedSlash: 3 };
      const found = (await run(verticalSlash, input, voted, runtime)).extra;
      const columns = Array.from(found['columns']!.data, Number);
      const diagonals = Array.from(found['diagonals']!.data, Number);
      for (const head of [0, 1]) {
        assert.deepEqual(columns.slice(12 * head, 12 * head + 2), [0, 1]);
        assert.deepEqual(diagonals.slice(20 * head, 20 * head + 3), [0, 1, 2]);
      }
      assert.ok(columns[11]! > 30 && diagonals[19]! > 100, 'the others are voted for');
      const forced = { vertical: 5, slash: 46 };
      const streamed = await run(findMechanism('streaming'), input, { sinks: 5, window: 46 }, runtime);
      const same = await run(verticalSlash, input, forced, runtime);
      assert.deepEqual(same.pairs, streamed.pairs);
      const note = choiceNote(settingOf(verticalSlash.info, forced));
      assert.equal(note?.kind, 'sameAs');
      assert.match(note.text, /known beforehand\. It is streaming \(sinks 5, window 46\)\./);
      assert.equal(choiceNote(settingOf(verticalSlash.info, voted))?.kind, 'looksAhead');
      const flops = (params: object) => {
        const shape = { dim: 8, valueDim: 8, causal: true };
        const cost = verticalSlash.cost!(160, settingOf(verticalSlash.info, { ...params }).params, shape);
        return cost.flops - 2 * cost.pairs * 16;
      };
      assert.equal(flops(forced), 0);
      assert.equal(flops({ ...voted, last: 10 }), 2 * 10 * 160 * 8, 'the rows that vote are charged');
    });
    it('leaves most lines of a budget to the votes, however small it is', () => {
      for (const share of [0.02, 0.1, 0.5]) {
        const settings = verticalSlash.settings!(randomInput({ queries: 1024, causal: true }), share);
        assert.ok(settings.length > 0);
        for (const params of settings) {
          const { vertical, slash, forcedVertical, forcedSlash } = params as Record<string, number>;
          assert.ok(forcedVertical! <= vertical! / 8 && forcedSlash! <= slash! / 8, JSON.stringify(params));
          assert.equal(choiceNote(settingOf(verticalSlash.info, params))?.kind, 'looksAhead');
        }
      }
    });
    it('says that it is causal only, and that its choice looks at the end of the text', () => {
      assert.match(verticalSlash.refuses!(randomInput({ queries: 4 }), {})!, /causal/);
      assert.equal(verticalSlash.info.causalSelection, false);
    });
  });

  it('bigbird draws blocks apart from the window and the global ones, the same for a seed', async () => {
    const input = randomInput({ queries: 100, causal: true });
    const params = { block: 5, randomBlocks: 3, seed: 4 };
    const { own } = await run(bigbird, input, params, runtime);
    assert.deepEqual((await run(bigbird, input, params, runtime)).own, own);
    const drawn = Array.from(own['random_blocks']!.data, Number);
    assert.deepEqual(own['random_blocks']!.dims, [2, 18, 3]);
    drawn.forEach((x, t) => {
      const b = 1 + (Math.floor(t / 3) % 18);
      assert.ok(x === -1 || (x > 0 && x < b - 1), `block ${b} drew ${x}`);
    });
    assert.ok(drawn.filter(x => x >= 0).length > 80);
  });

  for (const [mechanism, params] of [
    [longformer, { window: 4, globals: '0,20' }],
    [bigbird, { block: 4 }],
    [entmaxAttention, { alpha: 1.5 }],
  ] as const) {
    it(`${mechanism.info.name} does not look ahead`, async () => {
      const input = randomInput({ queries: 40, causal: true });
      for (const token of [1, 17, 39]) {
        await assertNoFuture(input, i => run(mechanism, i, params, runtime), token, mechanism.info.name);
      }
    });
  }
});
