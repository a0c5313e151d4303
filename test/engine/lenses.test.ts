import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { blockedRun } from '../../engine/lens/flash';
import { sharesOf } from '../../engine/lens/simplified';
import type { CoreInput } from '../../engine/attention/core';
import { denseRow } from '../../engine/attention/kernels/lines';
import { attendNative } from '../../engine/attention/native';
import type {
  CostPoint,
  CostProgress,
  LensName,
  LensParams,
  LensResults,
} from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { hidden, maskedAttention } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';
import { setting } from '../support/settings';

const TEXT = readFileSync(join(__dirname, '..', 'fixtures', 'sample.txt'), 'utf8').slice(0, 1800);
const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models');

describe('lenses', function () {
  this.timeout(120_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());
  const context = () => ({ runtime, signal: neverCancelled, own: {} });

  describe('FlashAttention: the blocked run is dense attention', () => {
    const shapes: Record<string, Shape> = {
      causal: { heads: 1, queries: 67, causal: true },
      full: { heads: 1, queries: 40, keys: 55 },
      'more keys than queries': { heads: 1, queries: 11, keys: 40, causal: true },
      window: { heads: 1, queries: 50, causal: true, window: { before: 9, after: 0 } },
      alibi: { heads: 1, queries: 33, causal: true, bias: 'alibi' },
      'opaque bias with holes': { heads: 1, queries: 33, bias: 'holes' },
    };
    for (const [name, shape] of Object.entries(shapes)) {
      it(name, async () => {
        const input = randomInput(shape);
        const oracle = maskedAttention(input, () => 1).output;
        for (const [blockRows, blockColumns] of [
          [1, 1],
          [4, 7],
          [8, 16],
          [64, 200],
        ] as const) {
          const found = await blockedRun(input, { blockRows, blockColumns }, context());
          const worst = found.reduce((most, x, t) => Math.max(most, Math.abs(x - oracle[t]!)), 0);
          assert.ok(worst <= 1e-6, `${blockRows} x ${blockColumns}: ${worst}`);
        }
      });
    }
  });

  describe('simplified blocks: shares of a map', () => {
    /** Queries and keys that give every row the weights wanted: scores are their logarithms. */
    const withWeights = (n: number, weight: (i: number, j: number) => number): CoreInput => ({
      heads: 1,
      kvHeads: 1,
      queries: n,
      keys: n,
      dim: n,
      valueDim: 1,
      q: Float32Array.from({ length: n * n }, (_, t) => Math.log(weight(Math.floor(t / n), t % n))),
      k: Float32Array.from({ length: n * n }, (_, t) => (Math.floor(t / n) === t % n ? 1 : 0)),
      v: new Float32Array(n),
      rule: { scale: Float32Array.of(1), softCap: null, mask: { causal: true, window: null }, bias: null },
    });

    it('a I + (1 - a) C: identity a (1 - 1/n_i), no rest', async () => {
      const [n, a] = [70, 0.4];
      const even = (i: number) => 1 / (i + 1);
      const input = withWeights(n, (i, j) => (i === j ? a : 0) + (1 - a) * even(i));
      const [found] = await sharesOf(input, context(), true);
      let identity = 0;
      let squared = 0;
      for (let i = 0; i < n; i++) {
        identity += (a * (1 - even(i))) / n;
        // a I - a C
        squared += a * a * (1 - even(i));
      }
      assert.ok(Math.abs(found!.identity - identity) < 1e-5, `${found!.identity} is not ${identity}`);
      assert.ok(Math.abs(found!.uniform - (1 - identity)) < 1e-5);
      assert.ok(found!.rest < 1e-5);
      assert.ok(Math.abs(found!.distance - Math.sqrt(squared)) < 1e-4);
      assert.ok(Math.abs(found!.distancePerQuery - Math.sqrt(squared / n)) < 1e-5);
    });

    it('the map of a model that was made with entmax, not the softmax of its scores', async () => {
      const plain = randomInput({ queries: 40, heads: 2, causal: true });
      const spec = { name: 'entmax', params: { alpha: 1.5 }, tensors: [] };
      const native = await attendNative(plain, spec, {}, context());
      const found = await sharesOf({ ...plain, native }, context(), true);
      for (const [h, { uniform, identity, rest }] of found.entries()) {
        let own = 0;
        for (let i = 0; i < plain.queries; i++) {
          const row = denseRow({ ...plain, native }, h, i);
          own += Math.max(0, row[i]! - 1 / row.filter(p => p > 0).length) / plain.queries;
        }
        assert.ok(Math.abs(identity - own) < 1e-5, `${identity} is not ${own}`);
        assert.ok(Math.abs(uniform + identity + rest - 1) < 1e-5);
      }
    });

    it('any map: as summed over whole matrices', async () => {
      for (const shape of [
        { queries: 67, causal: true },
        { queries: 40 },
        { queries: 30, heads: 4, kvHeads: 2, causal: true },
        { queries: 33, bias: 'holes' as const },
        { queries: 50, causal: true, window: { before: 9, after: 0 } },
      ]) {
        const input = randomInput(shape);
        const found = await sharesOf(input, context(), true);
        const { weights } = maskedAttention(input, () => 1);
        for (let h = 0; h < input.heads; h++) {
          const sums = { uniform: 0, identity: 0, rest: 0, squared: 0 };
          let rows = 0;
          for (let i = 0; i < input.queries; i++) {
            const row = weights[h]![i]!;
            const total = row.reduce((s, p) => s + p, 0);
            if (total === 0) continue;
            rows++;
            const seen = visible(input, h, i);
            for (let j = 0; j < input.keys; j++) {
              const c = seen.has(j) ? 1 / seen.size : 0;
              sums.uniform += Math.min(row[j]!, c);
              if (j === i) sums.identity += Math.max(0, row[j]! - c);
              else sums.rest += Math.max(0, row[j]! - c);
              sums.squared += (row[j]! - c) ** 2;
            }
          }
          for (const part of ['uniform', 'identity', 'rest'] as const) {
            const wanted = sums[part] / rows;
            assert.ok(Math.abs(found[h]![part] - wanted) < 1e-5, `${part}: ${found[h]![part]}, ${wanted}`);
          }
          assert.ok(Math.abs(found[h]!.distance - Math.sqrt(sums.squared)) < 1e-4);
        }
      }
    });
  });

  describe('on the bundled model', () => {
    let told: (point: CostPoint | null) => void = () => undefined;
    const engine = new Engine((name, said) => {
      if (name === 'cost/progress') told((said as CostProgress).point);
    });
    let tokens: number;
    before(async () => {
      const summary = await engine.analyze({
        id: 'a',
        model: 'bundled',
        text: TEXT,
        device: 'cpu',
        maxTokens: 400,
        mechanisms: [],
        propagate: false,
      });
      tokens = summary.tokens.ids.length;
    });
    after(() => engine.dispose());
    const look = async <L extends LensName>(lens: L, more: Partial<LensParams> = {}) =>
      (await engine.request('analysis/lens', {
        id: 'a',
        lens,
        core: 2,
        head: 3,
        params: {},
        ...more,
      })) as LensResults[L];

    it('flash: the same output to 1e-6, and less traffic with more memory', async () => {
      const found = await look('flash', { params: { sram: 4000 } });
      assert.ok(found.check.relative <= 1e-6, `${found.check.relative}`);
      assert.ok(found.check.largest > 0);
      assert.equal(found.tokens, tokens);
      for (let t = 1; t < found.curve.length; t++)
        assert.ok(found.curve[t]!.accesses <= found.curve[t - 1]!.accesses);
      assert.deepEqual(found.memory, { standard: tokens * tokens, flash: 2 * tokens });
    });

    it('switch: every token has an expert; no capacity loses nothing', async () => {
      const found = await look('switch', { params: { experts: 4, capacityFactor: 4 } });
      assert.equal(found.rowsAre, 'residual');
      assert.equal(
        found.load.reduce((a, b) => a + b, 0),
        tokens,
      );
      assert.ok(Math.abs(found.probability.reduce((a, b) => a + b, 0) - 1) < 1e-9);
      assert.equal(found.dropRate, 0);
      assert.ok(found.auxLoss.value >= found.auxLoss.alpha * 0.99);
      for (let t = 1; t < found.curve.length; t++)
        assert.ok(found.curve[t]!.dropRate <= found.curve[t - 1]!.dropRate);
    });

    it('albert: the whole table, 4,096 by 160', async () => {
      const found = await look('albert');
      assert.deepEqual([found.vocabulary, found.embeddingWidth, found.hidden], [4096, 160, 160]);
      assert.equal(found.embedding, 4096 * 160);
      assert.equal(found.rank, 27);
      assert.equal(found.factorised, found.blocks + 4096 * 27 + 27 * 160);
      assert.equal(found.sampledRows, 4096);
      // Five pieces lie between the six attentions; each has learned weights of its own.
      assert.equal(found.similarity!.length, 5);
      found.similarity!.forEach((row, a) =>
        row.forEach((x, b) => assert.ok(a === b ? Math.abs(x - 1) < 1e-9 : Math.abs(x) < 0.1)),
      );
      const last = found.curve!.at(-1)!;
      assert.ok(last.rank <= 160 && last.error < 0.2);
      for (let t = 1; t < found.curve!.length; t++)
        assert.ok(found.curve![t]!.error <= found.curve![t - 1]!.error);
    });

    it('albert: a model that shares its block', async function () {
      const fixture = join(FIXTURES, 'albert-eager-script');
      if (!existsSync(fixture)) {
        console.log(`SKIPPED: no model at ${fixture}`);
        this.skip();
      }
      await engine.analyze({
        id: 'd',
        model: fixture,
        text: TEXT.slice(0, 300),
        device: 'cpu',
        maxTokens: 60,
        mechanisms: [],
        propagate: false,
      });
      const found = await look('albert', { id: 'd', core: 0, head: 0 });
      for (const x of found.similarity!.flat()) assert.ok(Math.abs(x - 1) < 1e-9);
      assert.ok(found.notes.some(note => /factorised already \(32 of 64\)/.test(note)));
      assert.equal(found.shared, found.parameters, 'sharing saves nothing more');
    });

    it('albert: a shared block and a factorised table in whole numbers, as the zoo has them', async () => {
      await engine.analyze({
        id: 'e',
        model: 'zoo/albert',
        text: TEXT.slice(0, 200),
        device: 'cpu',
        maxTokens: 40,
        mechanisms: [],
        propagate: false,
      });
      const found = await look('albert', { id: 'e', core: 0, head: 0 });
      assert.deepEqual(found.similarity, Array(3).fill([1, 1, 1]));
      assert.deepEqual([found.apart, found.embedding], [0, 4096 * 64]);
      assert.deepEqual([found.shared, found.embedding + found.blocks], [found.parameters, found.parameters]);
      assert.ok(found.notes.includes("This model's layers are one block already."));
    });

    it('memory: a what-if of any causal model; without a token that is old enough it is refused', async () => {
      const params = { segment: 32, memory: 16, compressed: 6, rate: 4 };
      const found = await look('memory', { core: 1, head: 2, params });
      assert.deepEqual([found.native, found.from, found.cores.length], [false, 32, 6]);
      assert.deepEqual([found.segment, found.memory, found.compressed, found.rate], [32, 16, 6, 4]);
      for (const { heads } of found.cores)
        for (const { segment, memory, compressed, reconstruction } of heads) {
          assert.ok(Math.abs(segment + memory + compressed - 1) < 1e-6);
          assert.ok(compressed > 0 && reconstruction! > 0);
        }
      assert.equal(found.slots.length, 6);
      const last = Math.floor((found.tokens - 1) / 32) * 32;
      assert.equal(found.slots.at(-1)!.to, last - 16);
      assert.ok(found.slots.every(({ query }) => query >= last));
      const plain = await look('memory', { core: 1, head: 2, params: { ...params, compressed: 0 } });
      assert.deepEqual([plain.slots.length, plain.cores[0]!.heads[0]!.reconstruction], [0, null]);
      await assert.rejects(
        look('memory', { params: { segment: 4096 } }),
        /^RefusedError: No token of this text has a memory/,
      );
    });

    it('retro: a chunk that comes again is nearest to its first coming; documents are searched', async () => {
      const passage =
        'The lighthouse keeper counted the ships that passed the northern cape before the storm.';
      await engine.analyze({
        id: 'b',
        model: 'bundled',
        text: `${passage} ${TEXT.slice(0, 700)} ${passage} ${TEXT.slice(900, 1300)} ${passage}`,
        device: 'cpu',
        maxTokens: 400,
        mechanisms: [],
        propagate: false,
      });
      const found = await look('retro', {
        id: 'b',
        params: { chunk: 8, neighbours: 2 },
        documents: [{ name: 'other.md', uri: 'file:///other.md', text: TEXT }],
      });
      for (const [c, chunk] of found.chunks.entries()) {
        assert.equal(chunk.to - chunk.from, 8);
        for (const n of chunk.neighbours) {
          assert.ok(n.similarity <= 1.0001);
          if (n.source === -1) assert.ok(n.chunk < c, 'never a later chunk of the text itself');
          else assert.equal(n.text, TEXT.slice(n.start, n.end));
        }
      }
      assert.equal(found.reads[6], -1);
      assert.equal(found.reads[7], 0);
      assert.ok(found.documents[0]!.chunks > 10);
      // The text copies 700 characters of the document: many of its chunks find (nearly) the same there.
      const same = found.chunks.filter(c => c.neighbours.some(n => n.source === 0 && n.similarity > 0.6));
      assert.ok(same.length > 5, `${same.length} chunks find their like`);
    });

    it('simplified: shares add up to 1, and every layer has a cosine', async () => {
      const found = await look('simplified');
      assert.equal(found.heads.length, 48);
      for (const h of found.heads) assert.ok(Math.abs(h.uniform + h.identity + h.rest - 1) < 1e-6);
      assert.deepEqual(
        found.collapse.map(c => c.at),
        [0, 1, 2, 3, 4, 5, 'output'],
      );
      assert.equal(found.parameters.saved, 6 * 2 * 160 * 160);
    });

    it('scaling: two operations per parameter and token', async () => {
      const found = await look('scaling');
      const at = found.forward[0]!;
      assert.equal(at.weights, 2 * found.parameters * at.tokens);
      assert.equal(found.multiplied, found.parameters, 'the table is the output matrix too');
      assert.equal(found.cachePerToken.single, 6 * 2 * 160 * 4);
      assert.equal(found.models.filter(m => m.own).length, 1);
    });

    it('scaling: leaves the embedding table out, in whatever number of bits it is', async function () {
      for (const name of ['bert-eager-script', 'bert-int8-script']) {
        const model = join(FIXTURES, name);
        if (!existsSync(model)) {
          console.log(`SKIPPED: no model at ${model}`);
          this.skip();
        }
        const text = TEXT.slice(0, 300);
        const { model: info } = await engine.analyze({
          ...{ id: name, model, text, device: 'cpu', maxTokens: 30 },
          ...{ mechanisms: [], propagate: false },
        });
        const found = await look('scaling', { id: name, core: 0, head: 0 });

        assert.equal(found.parameters - found.withoutEmbedding, info.vocabulary! * 64);
        assert.equal(found.forward[0]!.weights, 2 * found.multiplied * found.forward[0]!.tokens);
      }
    });

    it('switch: heads side by side where an export passes no residual stream', async function () {
      const fixture = join(FIXTURES, 'gpt2-fused-script');
      if (!existsSync(fixture)) {
        console.log(`SKIPPED: no model at ${fixture}`);
        this.skip();
      }
      const text = TEXT.slice(0, 300);
      await engine.analyze({
        id: 'c',
        model: fixture,
        text,
        device: 'cpu',
        maxTokens: 100,
        mechanisms: [],
        propagate: false,
      });
      assert.equal((await look('switch', { id: 'c', core: 0, head: 0 })).rowsAre, 'residual');
      assert.equal((await look('switch', { id: 'c', core: 1, head: 0 })).rowsAre, 'context');
      const { collapse, notes } = await look('simplified', { id: 'c', core: 0, head: 0 });
      assert.deepEqual(
        collapse.map(c => c.at),
        [0, 'output'],
      );
      assert.ok(notes.some(note => /Not every layer/.test(note)));
    });

    it('switch: the load of the experts is that of the model’s own router, where it has one', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'attention-experts-'));
      copyFileSync(join(__dirname, '../fixtures/zoo/switch/onnx/model.onnx'), join(folder, 'model.onnx'));
      const vocab = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`w${i}`, i]));
      const model = { type: 'WordLevel', vocab, unk_token: 'w0' };
      const tokenizer = {
        version: '1.0',
        added_tokens: [],
        pre_tokenizer: { type: 'WhitespaceSplit' },
        model,
      };
      writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
      const text = Array.from({ length: 50 }, (_, i) => `w${1 + ((i * i) % 250)}`).join(' ');
      await engine.analyze({
        id: 'experts',
        model: folder,
        text,
        device: 'cpu',
        maxTokens: null,
        mechanisms: [],
        propagate: false,
      });
      const params = { experts: 9, capacityFactor: 1 };
      const found = await look('switch', { id: 'experts', core: 0, head: 0, params });
      assert.deepEqual([found.rowsAre, found.layer, found.experts, found.tokens], ['router', 1, 3, 50]);
      assert.equal(
        found.load.reduce((a, b) => a + b),
        50,
      );
      assert.ok(found.gate.every(p => p > 1 / 3 && p <= 1));
      rmSync(folder, { recursive: true });
    });

    it('refuses a lens or parameter that there is not', async () => {
      await assert.rejects(look('prism' as LensName), /There is no lens "prism"/);
      await assert.rejects(look('flash', { params: { m: 3 } }), /The lens flash has no parameter "m"/);
      await assert.rejects(look('flash', { core: 9 }), /Core 9/);
    });

    it('cost: formulas, measured points and a timed forward', async () => {
      const formulas = await engine.request('cost/formulas', {
        id: 'a',
        core: 0,
        mechanisms: [setting('local'), setting('continuous', { basis: 7 })],
        lengths: [128, 256],
      });
      assert.deepEqual(formulas.shape, {
        dim: 20,
        valueDim: 20,
        causal: true,
        heads: 48,
        layerHeads: 8,
      });
      assert.equal(formulas.dense.pairs[0], (128 * 129) / 2);
      assert.equal(formulas.curves[0]!.refused, null);
      assert.match(formulas.curves[1]!.refused!, /even number/);
      assert.equal(formulas.check[1]!.bytes, 150_994_944);
      assert.deepEqual([formulas.dense.blocks![0], formulas.dense.held![0]], [1, 128]);
      assert.equal(formulas.keyBytes, 2 * (20 + 20));
      const measured = await engine.request('cost/measure', {
        id: 'a',
        core: 0,
        mechanisms: [setting('local'), setting('adaptive-span'), setting('continuous', { basis: 7 })],
        lengths: [128, 256],
        repetitions: 3,
        secondsPerPoint: 5,
      });
      assert.equal(measured.points.length, 6);
      for (const { choice, tokens: n, milliseconds: ms, pairs, blocks, held } of measured.points) {
        assert.ok(ms.low > 0 && ms.low <= ms.median && ms.median <= ms.high, choice.name);
        if (choice.name === 'dense') assert.equal(pairs, (n * (n + 1)) / 2);
        const side = n / 128;
        if (choice.name === 'dense') assert.deepEqual([blocks, held], [(side * (side + 1)) / 2, n]);
        if (choice.name === 'local') assert.deepEqual([blocks, held], [2 * side - 1, 128]);
      }
      assert.ok(measured.notes.some(note => /even number/.test(note)));
      const forward = await engine.request('cost/forward', { id: 'a', runs: 1 });
      assert.equal(forward.cores.length, 6);
      assert.ok(forward.cores.every(c => c.attention > 0 && c.rest > 0) && forward.output > 0);
    });

    it('cost: a hover is answered while a measurement goes on, and each point is told when it is measured', async () => {
      const points: CostPoint[] = [];
      let hover: Promise<number> | null = null;
      told = point => {
        if (!point) return;
        points.push(point);
        const word = { core: 0, head: 0, tokens: [5], top: 3, mechanisms: [] };
        hover ??= engine.request('analysis/token', { id: 'a', ...word }).then(() => points.length);
      };
      const measured = await engine.request('cost/measure', {
        ...{ id: 'a', core: 0, mechanisms: [setting('local'), setting('strided')] },
        ...{ lengths: [128, 256, 512], repetitions: 3, secondsPerPoint: 5 },
      });
      told = () => undefined;
      assert.deepEqual(points, measured.points, 'none is lost to who cancels after it');
      assert.ok((await hover!) < points.length);
    });

    it('cost: a measurement stops when it is cancelled', async () => {
      const cancelled = new AbortController();
      const params = {
        id: 'a',
        core: 0,
        mechanisms: [setting('local')],
        lengths: [128, 256, 512],
        repetitions: 3,
        secondsPerPoint: 5,
      };
      const measured = engine.request('cost/measure', params, cancelled.signal);
      setTimeout(() => cancelled.abort(), 5);
      await assert.rejects(measured, { name: 'CancelledError' });
    });
  });
});

/** Keys that a query sees: by the mask, and not hidden by a bias of -Infinity. */
function visible(input: CoreInput, head: number, i: number): Set<number> {
  const { bias } = input.rule;
  const keys = new Set<number>();
  for (let j = 0; j < input.keys; j++) {
    if (hidden(input, i + input.keys - input.queries, j)) continue;
    const plane = bias?.kind === 'opaque' ? (bias.heads === 1 ? 0 : head) : 0;
    const value = bias?.kind === 'opaque' ? bias.data[(plane * input.queries + i) * input.keys + j]! : 0;
    if (value > -Infinity) keys.add(j);
  }
  return keys;
}
