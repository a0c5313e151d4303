import assert from 'node:assert/strict';
import type { DirectPath } from '../../engine/model/cut/directPath';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import { floats } from '../../engine/runtime/tensor';
import { ModelWriter } from '../fixtures/onnxModels';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import { Bench, VOCABULARY, WIDTH } from './cutHarness';

const causal = aroundHeads((m, { q, k, v, x }, id) => {
  const [row, column] = [positions(m, x, `r${id}`, [-1, 1]), positions(m, x, `c${id}`, [1, -1])];
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, dropped(m, m.op('LessOrEqual', [column, row]), scores, id)), v]);
});

interface Form {
  /** As exporters write norms that compute in float32, what is added to is cast before. */
  casts?: boolean;
  /** As GPT-2's exporters do, rows are brought into the shape of the text behind the last layer. */
  shaped?: boolean;
  /** Table, stream and head in 16 bits. */
  half?: boolean;
  /** What heads write is not simply added. */
  bent?: boolean;
}

function decoder({ casts, shaped, half, bent }: Form): ModelWriter {
  const m = new ModelWriter({ '': 17 });
  const to = (name: string, type: number) => m.op('Cast', [name], { to: type });
  const narrow = (name: string) => (half ? to(name, ElementType.float16) : name);
  m.input('input_ids', 'int64', ['batch', 'sequence']);
  m.weight('table', [VOCABULARY, WIDTH], 1);
  let x = m.op('Gather', [narrow('table'), 'input_ids']);
  for (const id of ['a', 'b']) {
    if (casts) x = to(x, ElementType.float32);
    const y = causal(m, half ? to(x, ElementType.float32) : x, id);
    x = m.op('Add', [x, narrow(bent ? m.op('Tanh', [y]) : y)]);
  }
  if (shaped) {
    const shape = m.op('Concat', [m.op('Shape', ['input_ids']), m.ints('width', [WIDTH])], { axis: 0 });
    x = m.op('Reshape', [x, shape]);
  }
  const logits = m.op('MatMul', [x, narrow(m.weight('head', [WIDTH, VOCABULARY]))]);
  m.op(half ? 'Cast' : 'Identity', [logits], half ? { to: ElementType.float32 } : {}, 'logits');
  m.output('logits');
  return m;
}

describe('the direct path from what heads write to the logits', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => (bench = await Bench.open()));
  after(() => bench.close());

  const ids = Int32Array.from({ length: 30 }, (_, i) => (i * i + 3) % VOCABULARY);
  async function directly(
    form: Form,
    work: (path: DirectPath, contexts: Float32Array[], cut: CutModel) => Promise<void>,
  ) {
    const cut = await bench.load(decoder(form));
    const contexts: Float32Array[] = [];
    await cut.run(ids, async ({ core }, input) => (contexts[core] = referenceAttend(input)), {
      signal: neverCancelled,
    });
    await cut.directly(ids, path => work(path, contexts, cut));
    await cut.dispose();
  }

  const forms: [string, Form][] = [
    ['sums alone', {}],
    ['casts between them', { casts: true }],
    ['rows that go by the shape of the text', { shaped: true }],
    ['a stream of 16 bits', { half: true, shaped: true }],
  ];
  for (const [name, form] of forms)
    it(`of ${name}: gives the logits of the text, and of each row by itself`, () =>
      directly(form, async (path, contexts, cut) => {
        const expected = floats(await cut.runUncut(ids));
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const near = (own: Float32Array, from: number) =>
          own.forEach((value, at) =>
            assert.ok(Math.abs(value - expected[from + at]!) < (form.half ? 5e-3 : 2e-5) * largest),
          );
        const stream = await path.stream(contexts);
        near(await path.logits(stream.rows, stream), 0);
        const row = stream.rows.slice(7 * WIDTH, 8 * WIDTH);
        const own = await path.logits(row, stream);
        assert.equal(own.length, VOCABULARY);
        near(own, 7 * VOCABULARY);
        // What the layers write is what the stream is more than the table's rows.
        const { rows: table } = (await cut.embed(ids))!;
        const sum = Float32Array.from(table);
        for (const [core, context] of contexts.entries())
          (await path.written(core, context)).forEach((value, at) => (sum[at]! += value));
        sum.forEach((value, at) =>
          assert.ok(
            Math.abs(value - stream.rows[at]!) < (form.half ? 1e-2 : 1e-5) * Math.max(1, Math.abs(value)),
          ),
        );
        await cut.writes(1, ids, {}, async written => {
          const added = await written!(contexts[1]!);
          assert.deepEqual(added, await path.written(1, contexts[1]!));
        });
      }));

  it('is refused where what heads write is bent before it is added', () =>
    assert.rejects(
      directly({ bent: true }, async () => undefined),
      /no direct path from its heads to its logits/,
    ));
});
