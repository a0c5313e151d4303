import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine, type AnalyzeHooks } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import { analysisJson } from '../../engine/export/json';
import type { Attend } from '../../engine/model/cut/cutModel';
import { referenceAttend } from '../../engine/model/verify/proof';
import { windowOf } from '../../engine/model/verify/textCheck';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { VERIFIED_MEANS, verifiedLine } from '../../shared/verified';
import type { ModelWriter } from '../fixtures/onnxModels';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import { Bench, layered, VOCABULARY } from './cutHarness';

const causal = aroundHeads((m, { q, k, v, x }, id) => {
  const keep = m.op('LessOrEqual', [positions(m, x, `c${id}`, [1, -1]), positions(m, x, `r${id}`, [-1, 1])]);
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), v]);
});

/** Embedding of one token, written over. */
function poisoned(value: number): ModelWriter {
  const m = layered(causal);
  const table = m.initializers.find(t => t.name === 'table')!;
  const values = new Float32Array(table.raw_data!.slice().buffer);
  values[7 * 64 + 3] = value;
  table.raw_data = new Uint8Array(values.buffer);
  return m;
}

const text = (tokens: number, at = -1) =>
  Array.from({ length: tokens }, (_, i) => `w${i === at ? 7 : 8 + ((i * i) % 30)}`).join(' ');

const tokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'WhitespaceSplit' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(Array.from({ length: VOCABULARY }, (_, i) => [`w${i}`, i])),
    unk_token: 'w0',
  },
};

describe('every analysis is compared with the uncut model on its own text', function () {
  this.timeout(60_000);
  let bench: Bench;
  let engine: Engine;
  let folder: string;
  before(async () => {
    bench = await Bench.open();
    engine = new Engine();
    folder = mkdtempSync(join(tmpdir(), 'text-check-'));
  });
  after(async () => {
    await bench.close();
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });

  const analyze = (m: ModelWriter, name: string, words: string, hooks: AnalyzeHooks = {}) => {
    const at = join(folder, name);
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, 'model.onnx'), m.encode());
    writeFileSync(join(at, 'tokenizer.json'), JSON.stringify(tokenizer));
    const wanted = {
      device: 'cpu',
      maxTokens: null,
      mechanisms: [],
      propagate: false,
      target: null,
    } as const;
    const params = { id: name, model: at, text: words, ...wanted, mechanisms: [] };
    return engine.analyze(params, neverCancelled, hooks);
  };

  it('and says on how many tokens, how near, and at which length its rules were compared', async () => {
    const summary = await analyze(layered(causal), 'plain', text(90));
    const { verified } = summary;
    assert.equal(verified.holds, true);
    assert.equal(verified.of, 90);
    assert.ok(verified.tokens >= 24 && verified.tokens <= 90);
    assert.ok(verified.maxRelDiff > 0 && verified.maxRelDiff < 2e-5);
    assert.ok(verified.lossDiff !== null && verified.lossDiff < 1e-3);
    assert.deepEqual(verified.rules, { tokens: 90, everyRow: true });
    const json = analysisJson(summary).verified;
    assert.equal(json.tokens, verified.tokens);
    assert.match(json.reference, /on (all|the first \d+ of) 90 tokens of this text/);
    assert.match(
      verifiedLine(verified),
      /against the uncut model on .* 90 tokens; masks and biases at 90 tokens/,
    );
    assert.ok(!summary.notes.some(note => note.startsWith('Not verified')));
    assert.equal(VERIFIED_MEANS.length, 3);
  });

  it('no figure comes from a rule that was not compared at the length of its text', async () => {
    for (const tokens of [1, 30, 61, 250]) {
      let cores = 0;
      const { verified } = await analyze(layered(causal), 'lengths', text(tokens), {
        onTensors: async (_, { rule, queries, keys }) => {
          cores++;
          assert.equal(queries, tokens);
          assert.deepEqual(rule.checked, { queries, keys });
        },
      });
      assert.equal(cores, 2);
      assert.equal(verified.rules.tokens, tokens);
      assert.equal(verified.holds, true);
    }
  });

  it('is never verified where one row, beyond the probe, is another than the model has', async () => {
    const cut = await bench.load(layered(causal));
    const ids = Int32Array.from({ length: 120 }, (_, i) => (i * i + 3) % VOCABULARY);
    const wrongAt =
      (row: number): Attend =>
      async (info, input) => {
        const context = referenceAttend(input);
        if (info.core === 1) context[row * input.valueDim] = context[row * input.valueDim]! + 0.05;
        return context;
      };
    const check = async (attend: Attend) =>
      cut.checkText(ids, await cut.run(ids, attend, { signal: neverCancelled }), attend, {
        signal: neverCancelled,
        share: 1,
      });
    assert.equal((await check(async (_, input) => referenceAttend(input))).holds, true);
    for (const row of [0, 70, 101, 119]) {
      const found = await check(wrongAt(row));
      assert.equal(found.holds, false, `row ${row}`);
      assert.equal(found.tokens, 120);
      assert.ok(found.maxRelDiff > 1e-4);
    }
    await cut.dispose();
  });

  it('models that see what comes are compared on a window of the text', async () => {
    const full = layered(
      aroundHeads((m, { q, k, v }, id) =>
        m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)), v]),
      ),
    );
    const cut = await bench.load(full);
    const ids = Int32Array.from({ length: 120 }, (_, i) => (i * i + 3) % VOCABULARY);
    const attend: Attend = async (_, input) => referenceAttend(input);
    const output = await cut.run(ids, attend, { signal: neverCancelled });
    const found = await cut.checkText(ids, output, attend, { signal: neverCancelled, share: 0 });
    assert.equal(found.holds, true);
    assert.equal(found.tokens, 24);
    assert.equal(found.lossDiff, null);
    await cut.dispose();
  });

  it('a mask that is another at each length is compared on what both models read', async () => {
    const fifth = aroundHeads((m, { q, k, v, x }, id) => {
      const [row, column] = [positions(m, x, `r${id}`, [-1, 1]), positions(m, x, `c${id}`, [1, -1])];
      const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`one${id}`, [1], [])], { axis: 0 });
      const size = m.op('Add', [
        m.op('Div', [count, m.ints(`five${id}`, [5], [])]),
        m.ints(`three${id}`, [3], []),
      ]);
      const near = m.op('Less', [m.op('Sub', [row, column]), size]);
      const keep = m.op('And', [near, m.op('LessOrEqual', [column, row])]);
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), v]);
    });
    const { verified, cores } = await analyze(layered(fifth), 'fifth', text(250));
    assert.equal(cores.length, 2);
    assert.ok(verified.tokens < 250);
    assert.equal(verified.holds, true);
  });

  for (const [what, value] of [
    ['NaN', NaN],
    ['infinity', Infinity],
  ] as const)
    it(`a text that makes the model give ${what} is refused, naming the token`, async () => {
      await assert.rejects(analyze(poisoned(value), what, text(40, 5)), (error: Error) => {
        assert.ok(error instanceof RefusedError, error.stack);
        assert.match(error.message, /^The model gives (NaN|infinity) from token 5 on: /);
        return true;
      });
      // Without that token the same model is analysed.
      assert.equal((await analyze(poisoned(value), what, text(40))).verified.holds, true);
    });

  it('the window keeps to its budget, and to memory', () => {
    const model = { perToken: 1e6, perPair: 0, width: 1000, heads: 8 };
    assert.equal(windowOf(500, 0.4, model), 200);
    // Pairs grow with the square: four times the arithmetic for twice the tokens.
    assert.equal(windowOf(500, 0.25, { ...model, perToken: 0, perPair: 100 }), 250);
    assert.equal(windowOf(500, 0, model), 24);
    assert.equal(windowOf(10, 0, model), 10);
    assert.equal(windowOf(100_000, 1, { ...model, width: 250_000 }), 134);
  });
});
