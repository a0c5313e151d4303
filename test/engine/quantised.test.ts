import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { RefusedError } from '../../engine/errors';
import type { Attend, CutModel } from '../../engine/model/cut/cutModel';
import { referenceAttend, referenceWeights } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import type { ModelWriter } from '../fixtures/onnxModels';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import { Bench, layered, VOCABULARY } from './cutHarness';

const causal = aroundHeads((m, { q, k, v, x }, id) => {
  const keep = m.op('LessOrEqual', [positions(m, x, `c${id}`, [1, -1]), positions(m, x, `r${id}`, [-1, 1])]);
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), v]);
});

/** Every product with a weight, replaced. */
function withProducts(
  make: (m: ModelWriter, x: string, weight: Weight, output: string) => void,
): ModelWriter {
  const m = layered(causal);
  const nodes = m.nodes.splice(0);
  for (const node of nodes) {
    const [x, name] = node.input as [string, string];
    const at = m.initializers.findIndex(t => t.name === name);
    if (node.op_type !== 'MatMul' || at < 0) {
      m.nodes.push(node);
      continue;
    }
    const [tensor] = m.initializers.splice(at, 1);
    const values = new Float32Array(tensor!.raw_data!.slice().buffer);
    const [rows, columns] = tensor!.dims!.map(Number) as [number, number];
    make(m, x, { name, values, rows, columns }, node.output![0]!);
  }
  return m;
}

interface Weight {
  name: string;
  /** [rows, columns] */
  values: Float32Array;
  rows: number;
  columns: number;
}

const scaleOf = (values: Float32Array, steps: number) =>
  values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) / steps;

/** Activations rounded to 8 bits at run time, products of whole numbers: as ONNX Runtime's quantize_dynamic writes them. */
const dynamic8 = () =>
  withProducts((m, x, { name, values, rows, columns }, output) => {
    const scale = scaleOf(values, 127);
    const bytes = Uint8Array.from(values, v => Math.round(v / scale));
    m.raw(`${name}:8`, ElementType.int8, bytes, [rows, columns]);
    m.raw(`${name}:zero`, ElementType.int8, Uint8Array.of(0), []);
    const [given, step, zero] = m.ops(
      'DynamicQuantizeLinear',
      [x],
      [`${name}:x`, `${name}:step`, `${name}:from`],
    );
    const product = m.op('MatMulInteger', [given!, `${name}:8`, zero!, `${name}:zero`]);
    const factor = m.op('Mul', [step!, m.floats(`${name}:scale`, [scale], [])]);
    m.op('Mul', [m.op('Cast', [product], { to: ElementType.float32 }), factor], {}, output);
  });

/** Weights of 4 bits in blocks of 32, and activations rounded to 8 (accuracy level 4): as the genai builder writes them. */
const blocks4 = () =>
  withProducts((m, x, { name, values, rows, columns }, output) => {
    const blocks = rows / 32;
    const packed = new Uint8Array((columns * rows) / 2);
    const scales = new Float32Array(columns * blocks);
    for (let c = 0; c < columns; c++)
      for (let b = 0; b < blocks; b++) {
        const column = Float32Array.from({ length: 32 }, (_, i) => values[(b * 32 + i) * columns + c]!);
        const scale = (scales[c * blocks + b] = scaleOf(column, 7));
        const four = Array.from(column, v => Math.round(v / scale) + 8);
        for (let i = 0; i < 16; i++)
          packed[(c * blocks + b) * 16 + i] = four[2 * i]! | (four[2 * i + 1]! << 4);
      }
    m.raw(`${name}:4`, ElementType.uint8, packed, [columns, blocks, 16]);
    m.floats(`${name}:scales`, scales);
    const attributes = { K: rows, N: columns, bits: 4, block_size: 32, accuracy_level: 4 };
    m.op('MatMulNBits', [x, `${name}:4`, `${name}:scales`], attributes, output, 'com.microsoft');
  });

const plain = async (_: unknown, input: CoreInput) => referenceAttend(input);
const changed =
  (change: (input: CoreInput) => CoreInput): Attend =>
  async (_, input) =>
    referenceAttend(change(input));
const ruled = (change: (rule: CoreInput['rule'], input: CoreInput) => Partial<CoreInput['rule']>): Attend =>
  changed(input => ({ ...input, rule: { ...input.rule, ...change(input.rule, input) } }));

/** A core that hides one key from one query of one head. */
const without =
  (head: number, query: number, key: number): Attend =>
  async (_, input) => {
    const context = referenceAttend(input);
    const weights = referenceWeights(input, head, query);
    const rest = 1 - weights[key]!;
    for (let d = 0; d < input.valueDim; d++) {
      const at = (head * input.queries + query) * input.valueDim + d;
      const lost = weights[key]! * input.v[(head * input.keys + key) * input.valueDim + d]!;
      context[at] = (context[at]! - lost) / rest;
    }
    return context;
  };

const wrong: Record<string, Attend> = {
  'no mask': ruled(({ mask }) => ({ mask: { ...mask, causal: false } })),
  'a window of 24': ruled(({ mask }) => ({ mask: { ...mask, window: { before: 23, after: 0 } } })),
  'a scale 2% too large': ruled(({ scale }) => ({ scale: scale.map(s => 1.02 * s) })),
  'a scale of its own for one head': ruled(({ scale }) => ({
    scale: scale.map((s, h) => (h ? s : 1.1 * s)),
  })),
  'a soft cap': ruled(() => ({ softCap: 20 })),
  'a bias by distance': ruled((_, { heads }) => ({
    bias: { kind: 'alibi', slopes: new Float32Array(heads).fill(0.01) },
  })),
  'a dropped head': async (_, input) => {
    const context = referenceAttend(input);
    return context.fill(0, 0, input.queries * input.valueDim);
  },
  'heads exchanged': changed(input => {
    const size = input.keys * input.valueDim;
    const v = Float32Array.from(
      input.v,
      (_, t) => input.v[t < size ? t + size : t < 2 * size ? t - size : t]!,
    );
    return { ...input, v };
  }),
  'one key hidden from one query of one head': without(2, 29, 11),
};

describe('quantised models', function () {
  this.timeout(120_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const [kind, make] of Object.entries({ 'dynamic 8 bits': dynamic8, 'blocks of 4 bits': blocks4 }))
    describe(kind, () => {
      let right: CutModel;
      before(async () => {
        right = await bench.load(make());
      });
      after(() => right.dispose());

      it('are verified as the model has it, on every text, and say how far its attentions lie off', async () => {
        assert.match(right.info.verified.reference, /quantised/);
        for (const tokens of [5, 24, 90]) {
          const { holds, cores, maxAbsDiff, tokens: compared } = await check(right, plain, tokens);
          assert.equal(holds, true);
          assert.equal(compared, tokens);
          assert.ok(cores! > 0 && cores! < 1e-5, `${cores}`);
          assert.ok(Number.isFinite(maxAbsDiff));
        }
      });

      for (const [what, attend] of Object.entries(wrong))
        it(`${what} is refused, and no text is verified with it`, async () => {
          await assert.rejects(bench.load(make(), {}, { attend }), (error: Error) => {
            assert.ok(error instanceof RefusedError, error.stack);
            assert.match(
              error.message,
              /^The cut model does not reproduce the model .* self attention of layer \d gives/,
            );
            return true;
          });
          assert.equal((await check(right, attend, 60)).holds, false);
        });
    });

  async function check(cut: CutModel, attend: Attend, tokens: number) {
    const ids = Int32Array.from({ length: tokens }, (_, i) => (i * i + 3) % VOCABULARY);
    const output = await cut.run(ids, attend, { signal: neverCancelled });
    return cut.checkText(ids, output, attend, { signal: neverCancelled, share: 10 });
  }
});
