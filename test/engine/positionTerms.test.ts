import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { termsOf } from '../../engine/lens/positionTerms';
import type { CoreInput } from '../../engine/attention/core';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ModelWriter } from '../fixtures/onnxModels';
import { random } from '../oracle/random';
import { Bench, DIM, HEADS, layered, linear, VOCABULARY, WIDTH } from './cutHarness';

const TEXT = readFileSync(join(__dirname, '..', 'fixtures', 'sample.txt'), 'utf8').slice(0, 1200);
const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models');
const TOKENS = 37;
const EPSILON = 0.05;

type Norm = 'none' | 'layer' | 'rms';
const MATRICES = ['q', 'k', 'v', 'o'] as const;

/** Numbers of the written model; tables small enough that the norm's epsilon counts. */
const numbers = (() => {
  const { normal } = random(3);
  const draw = (count: number, spread: number) =>
    Float32Array.from({ length: count }, () => Math.fround(normal() * spread));
  return {
    table: draw(VOCABULARY * WIDTH, 0.3),
    types: draw(2 * WIDTH, 0.1),
    positions: draw(64 * WIDTH, 0.2),
    gain: draw(WIDTH, 1),
    shift: draw(WIDTH, 0.3),
    matrices: Object.fromEntries(MATRICES.map(name => [name, draw(WIDTH * WIDTH, 0.2)])),
    biases: Object.fromEntries(MATRICES.map(name => [name, draw(WIDTH, 0.3)])),
  };
})();

/** Token, type and position embeddings, a norm, one causal attention with biases, logits. */
function absolute(m: ModelWriter, norm: Norm): ModelWriter {
  m.input('input_ids', 'int64', ['batch', 'sequence']);
  m.input('attention_mask', 'int64', ['batch', 'sequence']);
  m.input('token_type_ids', 'int64', ['batch', 'sequence']);
  m.input('position_ids', 'int64', ['batch', 'sequence']);
  m.floats('table', numbers.table, [VOCABULARY, WIDTH]);
  m.floats('types', numbers.types, [2, WIDTH]);
  m.floats('positions', numbers.positions, [64, WIDTH]);
  const typed = m.op('Add', [
    m.op('Gather', ['table', 'input_ids']),
    m.op('Gather', ['types', 'token_type_ids']),
  ]);
  const x = m.op('Add', [typed, m.op('Gather', ['positions', 'position_ids'])]);
  const hidden = m.op('Add', [x, attention(m, normed(m, x, norm))]);
  m.op('MatMul', [hidden, m.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
  m.output('logits');
  return m;
}

function normed(m: ModelWriter, x: string, norm: Norm): string {
  if (norm === 'none') return x;
  const gain = m.floats('gain', numbers.gain);
  if (norm === 'layer')
    return m.op('LayerNormalization', [x, gain, m.floats('shift', numbers.shift)], {
      axis: -1,
      epsilon: { float: EPSILON },
    });
  const square = m.op('ReduceMean', [m.op('Mul', [x, x])], { axes: [-1] });
  const root = m.op('Sqrt', [m.op('Add', [square, m.floats('epsilon', [EPSILON], [])])]);
  return m.op('Mul', [m.op('Div', [x, root]), gain]);
}

function attention(m: ModelWriter, x: string): string {
  const project = (from: string, name: string) =>
    m.op('Add', [
      m.op('MatMul', [from, m.floats(`w_${name}`, numbers.matrices[name]!, [WIDTH, WIDTH])]),
      m.floats(`b_${name}`, numbers.biases[name]!),
    ]);
  const heads = (name: string, perm: number[]) =>
    m.op('Transpose', [m.op('Reshape', [project(x, name), m.ints(`split_${name}`, [0, 0, HEADS, DIM])])], {
      perm,
    });
  const scores = m.op('MatMul', [heads('q', [0, 2, 1, 3]), heads('k', [0, 2, 3, 1])]);
  const scaled = m.op('Mul', [scores, m.floats('scale', [DIM ** -0.5], [])]);
  const length = m.op('Gather', [m.op('Shape', ['input_ids']), m.ints('one', [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints('zero', [0], []), length, m.ints('step', [1], [])]);
  const column = m.op('Unsqueeze', [range, m.ints('last', [1])]);
  const row = m.op('Unsqueeze', [range, m.ints('first', [0])]);
  const masked = m.op('Where', [m.op('Greater', [row, column]), m.floats('low', [-1e9], []), scaled]);
  const context = m.op('MatMul', [m.op('Softmax', [masked], { axis: -1 }), heads('v', [0, 2, 1, 3])]);
  const joined = m.op('Reshape', [
    m.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
    m.ints('join', [0, 0, WIDTH]),
  ]);
  return project(joined, 'o');
}

/** [HEADS, tokens, DIM] of content, position and bias, by the definition and in float64. */
function oracle(
  norm: Norm,
  name: 'q' | 'k',
  ids: Int32Array,
): Record<'content' | 'position' | 'bias', number[]> {
  const result = { content: [] as number[], position: [] as number[], bias: [] as number[] };
  for (let h = 0; h < HEADS; h++)
    for (let i = 0; i < ids.length; i++) {
      const columns = Array.from({ length: WIDTH }, (_, c) => c);
      const content = columns.map(c => numbers.table[ids[i]! * WIDTH + c]! + numbers.types[c]!);
      const position = columns.map(c => numbers.positions[i * WIDTH + c]!);
      const sum = columns.map(c => content[c]! + position[c]!);
      const meanOf = (row: number[]) => (norm === 'layer' ? row.reduce((a, b) => a + b) / WIDTH : 0);
      const mean = meanOf(sum);
      const variance = sum.reduce((a, b) => a + (b - mean) ** 2, 0) / WIDTH;
      const over = norm === 'none' ? 1 : 1 / Math.sqrt(variance + EPSILON);
      const frozen = (row: number[]) =>
        row.map((x, c) => (x - meanOf(row)) * over * (norm === 'none' ? 1 : numbers.gain[c]!));
      const times = (row: number[], d: number) =>
        row.reduce((total, x, c) => total + x * numbers.matrices[name]![c * WIDTH + d]!, 0);
      const shift = columns.map(c => (norm === 'layer' ? numbers.shift[c]! : 0));
      for (let d = h * DIM; d < (h + 1) * DIM; d++) {
        result.content.push(times(frozen(content), d));
        result.position.push(times(frozen(position), d));
        result.bias.push(times(shift, d) + numbers.biases[name]![d]!);
      }
    }
  return result;
}

describe('content and position terms', function () {
  this.timeout(120_000);
  let bench: Bench;
  before(async () => (bench = await Bench.open()));
  after(() => bench.close());

  const ids = Int32Array.from({ length: TOKENS }, (_, i) => (i * i + 3) % VOCABULARY);

  for (const norm of ['none', 'layer', 'rms'] as const)
    it(`a written model, norm ${norm}: parts and shares are those of the definition in float64`, async () => {
      const cut = await bench.load(absolute(new ModelWriter({ '': 17 }), norm));
      const parts = await cut.positionParts(0, ids, { signal: neverCancelled });
      assert.equal(parts.norm, norm);
      const expected = { q: oracle(norm, 'q', ids), k: oracle(norm, 'k', ids) };
      for (const side of ['q', 'k'] as const)
        for (const part of ['content', 'position', 'bias'] as const) {
          const values = expected[side][part];
          const most = Math.max(...values.map(Math.abs));
          parts[side][part].forEach((x, t) =>
            assert.ok(Math.abs(x - values[t]!) <= 2e-5 * most, `${side} ${part} ${t}: ${x}, ${values[t]}`),
          );
        }
      let input: CoreInput | null = null;
      await cut.run(
        ids,
        async (_, given) => {
          input = given;
          return referenceAttend(given);
        },
        { signal: neverCancelled },
      );
      for (let head = 0; head < HEADS; head++) {
        const found = termsOf(input!, parts, head);
        const wanted = sharesByDefinition(expected, head);
        found.shares.forEach((x, n) => assert.ok(Math.abs(x - wanted[n]!) < 1e-4, `${head}: ${n}`));
        assert.ok(Math.abs(found.shares.reduce((a, b) => a + b) - 1) < 1e-9);
        assert.ok(found.correlations.every(x => Math.abs(x) <= 1 + 1e-9));
        assert.ok(found.sameChoice.every(x => x >= 0 && x <= 1));
      }
      await cut.dispose();
    });

  it('position or content alone has the whole share, and always its choice', () => {
    const { normal } = random(5);
    const draw = () => Float32Array.from({ length: 20 * 4 }, normal);
    const zero = new Float32Array(20 * 4);
    const [q, k] = [draw(), draw()];
    const input: CoreInput = {
      ...{ heads: 1, kvHeads: 1, queries: 20, keys: 20, dim: 4, valueDim: 4, q, k, v: zero },
      rule: { scale: Float32Array.of(0.5), softCap: null, mask: { causal: true, window: null }, bias: null },
    };
    const all = (part: 'content' | 'position') => ({
      q: { content: zero, position: zero, bias: zero, [part]: q },
      k: { content: zero, position: zero, bias: zero, [part]: k },
    });
    for (const [n, part] of [[0, 'content'] as const, [3, 'position'] as const]) {
      const found = termsOf(input, all(part), 0);
      found.shares.forEach((x, t) => assert.ok(Math.abs(x - (t === n ? 1 : 0)) < 1e-12));
      assert.equal(found.sameChoice[n], 1);
      assert.ok(Math.abs(found.correlations[n]! - 1) < 1e-12);
    }
    const biased = { ...all('content'), q: { content: zero, position: zero, bias: q } };
    const found = termsOf(input, biased, 0);
    assert.ok(Math.abs(found.shares[2]! - 1) < 1e-12, 'the bias counts where the paper puts u');
    assert.ok(Math.abs(found.ofBias[0]! - 1) < 1e-12);
  });

  it('a model without positions is refused in one sentence', async () => {
    const layer = (m: ModelWriter, x: string, id: string) => {
      const part = (name: string, perm: number[]) =>
        m.op(
          'Transpose',
          [m.op('Reshape', [linear(m, x, id + name), m.ints(`${id}${name}s`, [0, 0, HEADS, DIM])])],
          { perm },
        );
      const scores = m.op('MatMul', [part('q', [0, 2, 1, 3]), part('k', [0, 2, 3, 1])]);
      const context = m.op('MatMul', [m.op('Softmax', [scores], { axis: -1 }), part('v', [0, 2, 1, 3])]);
      return m.op('Reshape', [
        m.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
        m.ints(`${id}join`, [0, 0, WIDTH]),
      ]);
    };
    const cut = await bench.load(layered(layer));
    await assert.rejects(
      cut.positionParts(0, ids, { signal: neverCancelled }),
      /does not split: no absolute positions are added/,
    );
    await assert.rejects(cut.positionParts(1, ids, { signal: neverCancelled }), /does not split/);
    await cut.dispose();
  });

  describe('through the engine', () => {
    const engine = new Engine();
    after(() => engine.dispose());
    const look = async (model: string, core = 0) => {
      await engine.analyze({
        id: 'a',
        model,
        text: TEXT,
        device: 'cpu',
        maxTokens: 48,
        mechanisms: [],
        propagate: false,
      });
      const params = { id: 'a', lens: 'positions' as const, core, head: 0, params: {} };
      const found = await engine.request('analysis/lens', params);
      assert.equal(found.lens, 'positions');
      return found as Extract<typeof found, { lens: 'positions' }>;
    };

    it('the bundled model has rotary positions and is refused in one sentence', async () => {
      await assert.rejects(look('bundled', 2), /does not split: no absolute positions are added[^.]*\.$/);
    });

    const families = { gpt2: 'layer', bert: 'layer', distilbert: 'layer', albert: 'layer', bart: 'layer' };
    for (const [family, norm] of Object.entries(families))
      it(`${family}: layer 0 splits`, async function () {
        const fixture = join(FIXTURES, `${family}-eager-script`);
        if (!existsSync(fixture)) {
          console.log(`SKIPPED: no model at ${fixture}`);
          this.skip();
        }
        const found = await look(fixture);
        assert.equal(found.norm, norm);
        assert.ok(found.error <= 1e-4);
        for (const { shares } of found.heads) {
          assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-9);
          assert.ok(
            shares.some((x, n) => n > 0 && Math.abs(x) > 1e-3),
            'positions matter',
          );
        }
      });

    for (const family of ['llama', 'gpt_neox', 't5', 'bloom'])
      it(`${family}: refused`, async function () {
        const fixture = join(FIXTURES, `${family}-eager-script`);
        if (!existsSync(fixture)) {
          console.log(`SKIPPED: no model at ${fixture}`);
          this.skip();
        }
        await assert.rejects(look(fixture), /This model does not split: [^.]*\.$/);
      });
  });
});

/** Shares over all visible pairs of all rows, from scores split in float64. */
function sharesByDefinition(parts: Record<'q' | 'k', ReturnType<typeof oracle>>, head: number): number[] {
  const covariances = [0, 0, 0, 0];
  for (let i = 1; i < TOKENS; i++) {
    const product = (a: (t: number) => number, b: (t: number) => number, j: number) =>
      Array.from({ length: DIM }, (_, c) => c).reduce(
        (sum, c) => sum + a((head * TOKENS + i) * DIM + c) * b((head * TOKENS + j) * DIM + c),
        0,
      );
    const { q, k } = parts;
    const global = (t: number) => q.position[t]! + q.bias[t]!;
    const rows = [
      [(t: number) => q.content[t]!, (t: number) => k.content[t]!] as const,
      [(t: number) => q.content[t]!, (t: number) => k.position[t]!] as const,
      [global, (t: number) => k.content[t]!] as const,
      [global, (t: number) => k.position[t]!] as const,
    ].map(([a, b]) => {
      const values = Array.from({ length: i + 1 }, (_, j) => product(a, b, j));
      const mean = values.reduce((x, y) => x + y) / values.length;
      return values.map(x => x - mean);
    });
    for (let j = 0; j <= i; j++) {
      const score = rows.reduce((sum, row) => sum + row[j]!, 0);
      rows.forEach((row, n) => (covariances[n]! += (row[j]! * score) / (i + 1)));
    }
  }
  const variance = covariances.reduce((a, b) => a + b);
  return covariances.map(x => x / variance);
}
