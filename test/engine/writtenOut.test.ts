import assert from 'node:assert/strict';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import { floats, int64 } from '../../engine/runtime/tensor';
import type { ModelWriter } from '../fixtures/onnxModels';
import {
  assertReproduces,
  Bench,
  DIM,
  halved,
  HEADS,
  layered,
  VOCABULARY,
  WIDTH,
  type Layer,
} from './cutHarness';

const MS = 'com.microsoft';

/** A form that ONNX Runtime does not run on the CPU, and the same layer in a form that it does run: the oracle. */
interface Pair {
  name: string;
  form: Layer;
  twin: Layer;
  mask: string;
  /** What the proof must say was written out. */
  lacking: RegExp;
}

const ms = (
  m: ModelWriter,
  op: string,
  inputs: string[],
  attributes: Record<string, number | { float: number }>,
) => m.op(op, inputs, { num_heads: HEADS, ...attributes }, undefined, MS);

/** Q, K, V from one product, [1, tokens, HEADS, parts, DIM]. */
function projected(m: ModelWriter, x: string, id: string, parts: number): string {
  const product = m.op('MatMul', [x, m.weight(`w${parts}${id}`, [WIDTH, parts * WIDTH])]);
  return m.op('Reshape', [product, m.ints(`split${parts}${id}`, [0, 0, HEADS, parts, DIM])]);
}

/** Part `i` of the above as [1, tokens, WIDTH]. */
function partOf(m: ModelWriter, packed: string, i: number, id: string): string {
  const part = m.op('Gather', [packed, m.ints(`part${i}${id}`, [i], [])], { axis: 3 });
  return m.op('Reshape', [part, m.ints(`flat${i}${id}`, [0, 0, WIDTH])]);
}

const three = [0, 1, 2];
const bias = (m: ModelWriter, id: string) => m.weight(`bias${id}`, [3 * WIDTH]);

/** [1, tokens, WIDTH] -> [tokens, WIDTH] and back, as ONNX Runtime's optimiser takes padding out. */
function unpadded(m: ModelWriter, x: string, id: string): { rows: string; offset: string; lengths: string } {
  const ones = m.op('Cast', ['attention_mask'], { to: ElementType.int32 });
  const count = m.op('ReduceSum', [ones, m.ints(`axis${id}`, [1])], { keepdims: 0 });
  const outputs = ['rows', 'offset', 'lengths', 'longest'].map(n => n + id);
  const [rows, offset, lengths] = m.ops('RemovePadding', [x, count], outputs, {}, MS);
  return { rows: rows!, offset: offset!, lengths: lengths! };
}
const padded = (m: ModelWriter, rows: string, offset: string) =>
  m.op('RestorePadding', [rows, offset], {}, undefined, MS);

const attentionWeights = (m: ModelWriter, id: string) => [
  m.weight(`w${id}`, [WIDTH, 3 * WIDTH]),
  m.weight(`b${id}`, [3 * WIDTH]),
];

/** cos and sin of base 10,000 for 128 positions. */
const caches = (m: ModelWriter, id: string) =>
  (['cos', 'sin'] as const).map(fn =>
    m.floats(
      fn + id,
      Float32Array.from({ length: (128 * DIM) / 2 }, (_, i) =>
        Math[fn](Math.floor(i / (DIM / 2)) * 10_000 ** (-(i % (DIM / 2)) / (DIM / 2))),
      ),
      [128, DIM / 2],
    ),
  );

function positionIds(m: ModelWriter, x: string, id: string): string {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`one${id}`, [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints(`zero${id}`, [0], []), count, m.ints(`by${id}`, [1], [])]);
  return m.op('Reshape', [range, m.ints(`row${id}`, [1, -1])]);
}

/** Every second key further than 5 before the query is hidden. */
const seen = (i: number, j: number) => Number(j <= i && (i - j <= 5 || j % 2 === 0));
const LONGEST = 80;

function fourAxes(m: ModelWriter, id: string): string {
  const values = Int32Array.from({ length: LONGEST ** 2 }, (_, t) =>
    seen(Math.floor(t / LONGEST), t % LONGEST),
  );
  return m.raw(`mask${id}`, ElementType.int32, new Uint8Array(values.buffer), [1, 1, LONGEST, LONGEST]);
}

/** `window`: keys that a query sees, -1 = all; `slides`: its past has the window's size, as the genai builder writes it. */
const groupQuery = (normalise: boolean, window = -1, slides = false): Layer => {
  return (m, x, id) => {
    const kvWidth = 2 * DIM;
    const [q, k, v] = [WIDTH, kvWidth, kvWidth].map((width, i) =>
      m.op('MatMul', [x, m.weight(`p${i}${id}`, [WIDTH, width])]),
    ) as [string, string, string];
    const norms = three.slice(0, 2).map(i => m.weight(`norm${i}${id}`, [DIM], 2));
    const ones = m.op('Cast', ['attention_mask'], { to: ElementType.int32 });
    const sum = m.op('ReduceSum', [ones, m.ints(`axis${id}`, [1])], { keepdims: 0 });
    const one = m.raw(`one32${id}`, ElementType.int32, new Uint8Array(Int32Array.of(1).buffer), [1]);
    const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`at${id}`, [1], [])], { axis: 0 });
    const lengths = [m.op('Sub', [sum, one]), m.op('Cast', [count], { to: ElementType.int32 })];
    const rotary = caches(m, id);
    const normal = (name: string, i: number) => {
      const split = m.op('Reshape', [name, m.ints(`heads${i}${id}`, [0, 0, -1, DIM])]);
      const scaled = m.op('SimplifiedLayerNormalization', [split, norms[i]!], {
        axis: -1,
        epsilon: { float: 1e-5 },
      });
      return m.op('Reshape', [scaled, m.ints(`back${i}${id}`, [0, 0, -1])]);
    };
    const sources = normalise ? [q, k, v] : [normal(q, 0), normal(k, 1), v];
    const past = ['key', 'value'].map(part =>
      slides ? m.input(`past_key_values.${id}.${part}`, 'float32', [1, 2, window, DIM]) : '',
    );
    const inputs = [...sources, ...past, ...lengths, ...rotary];
    if (normalise) inputs.push('', '', '', '', '', ...norms);
    const attributes = { num_heads: HEADS, kv_num_heads: 2, do_rotary: 1, local_window_size: window };
    if (slides) Object.assign(attributes, { sliding_window_cache: 1 });
    const epsilon: Record<string, { float: number }> = normalise ? { qk_norm_epsilon: { float: 1e-5 } } : {};
    const outputs = [`out${id}`, `pk${id}`, `pv${id}`];
    return m.ops('GroupQueryAttention', inputs, outputs, { ...attributes, ...epsilon }, MS)[0]!;
  };
};

const pairs: Pair[] = [
  {
    name: 'MultiHeadAttention with packed queries, keys and values, and a bias',
    form: (m, x, id) => ms(m, 'MultiHeadAttention', [projected(m, x, id, 3), '', '', bias(m, id)], {}),
    twin: (m, x, id) => {
      const packed = projected(m, x, id, 3);
      const parts = three.map(i => partOf(m, packed, i, id));
      return ms(m, 'MultiHeadAttention', [...parts, bias(m, id)], {});
    },
    mask: 'full',
    lacking: /MultiHeadAttention with packed queries, keys and values/,
  },
  {
    name: 'MultiHeadAttention with packed keys and values',
    form: (m, x, id) => ms(m, 'MultiHeadAttention', [x, projected(m, x, id, 2)], { scale: { float: 0.4 } }),
    twin: (m, x, id) => {
      const packed = projected(m, x, id, 2);
      const parts = [x, partOf(m, packed, 0, id), partOf(m, packed, 1, id)];
      return ms(m, 'MultiHeadAttention', parts, { scale: { float: 0.4 } });
    },
    mask: 'full',
    lacking: /packed keys and values/,
  },
  {
    name: 'DecoderMaskedMultiHeadAttention: a whole text at once',
    form: (m, x, id) => {
      const packed = projected(m, x, id, 3);
      return ms(
        m,
        'DecoderMaskedMultiHeadAttention',
        three.map(i => partOf(m, packed, i, id)),
        {},
      );
    },
    twin: (m, x, id) => {
      const packed = projected(m, x, id, 3);
      return ms(
        m,
        'MultiHeadAttention',
        three.map(i => partOf(m, packed, i, id)),
        { unidirectional: 1 },
      );
    },
    mask: 'causal',
    lacking: /DecoderMaskedMultiHeadAttention/,
  },
  {
    name: 'PackedAttention between RemovePadding and RestorePadding',
    form: (m, x, id) => {
      const { rows, offset, lengths } = unpadded(m, x, id);
      const inputs = [rows, ...attentionWeights(m, id), offset, lengths];
      return padded(m, ms(m, 'PackedAttention', inputs, {}), offset);
    },
    twin: (m, x, id) => ms(m, 'Attention', [x, ...attentionWeights(m, id)], {}),
    mask: 'full',
    lacking: /PackedAttention/,
  },
  {
    name: 'PackedMultiHeadAttention',
    form: (m, x, id) => {
      const packed = projected(m, x, id, 3);
      const parts = three.map(i => partOf(m, packed, i, id));
      const { offset, lengths } = unpadded(m, x, id);
      const rows = parts.map((p, i) => unpadded(m, p, `${i}${id}`).rows);
      const out = ms(m, 'PackedMultiHeadAttention', [...rows, bias(m, id), offset, lengths], {});
      return padded(m, out, offset);
    },
    twin: (m, x, id) => {
      const packed = projected(m, x, id, 3);
      const parts = three.map(i => partOf(m, packed, i, id));
      return ms(m, 'MultiHeadAttention', [...parts, bias(m, id)], {});
    },
    mask: 'full',
    lacking: /PackedMultiHeadAttention/,
  },
  {
    name: 'Attention that rotates positions itself',
    form: (m, x, id) =>
      ms(m, 'Attention', [x, ...attentionWeights(m, id)], { unidirectional: 1, do_rotary: 1 }),
    twin: (m, x, id) => {
      const [w, b] = attentionWeights(m, id);
      const product = m.op('Add', [m.op('MatMul', [x, w!]), b!]);
      const parts = m.ops(
        'Split',
        [product, m.ints(`sizes${id}`, [WIDTH, WIDTH, WIDTH])],
        three.map(i => `s${i}${id}`),
        { axis: 2 },
      );
      const cache = caches(m, id);
      const at = positionIds(m, x, id);
      const turned = parts.slice(0, 2).map(p => ms(m, 'RotaryEmbedding', [p, at, ...cache], {}));
      return ms(m, 'MultiHeadAttention', [...turned, parts[2]!], { unidirectional: 1 });
    },
    mask: 'causal',
    lacking: /Attention with rotary positions/,
  },
  {
    name: 'Attention with a mask of four axes',
    form: (m, x, id) => ms(m, 'Attention', [x, ...attentionWeights(m, id), fourAxes(m, id)], {}),
    twin: (m, x, id) => {
      const weights = attentionWeights(m, id);
      const count = m.op('Slice', [m.op('Shape', [x]), m.ints(`c1${id}`, [1]), m.ints(`c2${id}`, [2])]);
      const rows = m.op('Slice', [fourAxes(m, id), m.ints(`c0${id}`, [0]), count, m.ints(`r${id}`, [2])]);
      const corner = m.op('Slice', [rows, m.ints(`d0${id}`, [0]), count, m.ints(`s${id}`, [3])]);
      const mask = m.op('Squeeze', [corner, m.ints(`q${id}`, [1])]);
      return ms(m, 'Attention', [x, ...weights, mask], {});
    },
    mask: "causal, bias computed by the model's graph",
    lacking: /Attention with a mask of four axes/,
  },
  {
    name: 'GroupQueryAttention that normalises queries and keys',
    form: groupQuery(true),
    twin: groupQuery(false),
    mask: 'causal',
    lacking: /GroupQueryAttention with normalised queries and keys/,
  },
  {
    name: 'GroupQueryAttention with a cache of its window',
    form: groupQuery(false, 9, true),
    twin: groupQuery(false, 9),
    mask: 'causal, window 9',
    lacking: /GroupQueryAttention with a cache of its window/,
  },
];

describe('fused operators that ONNX Runtime does not run here', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const { name, form, twin, mask, lacking } of pairs)
    it(`${name}: equals the form that it does run`, async () => {
      const cut = await bench.load(layered(form));
      assert.deepEqual(
        cut.info.cores.map(c => [c.mask, c.heads]),
        [
          [mask, HEADS],
          [mask, HEADS],
        ],
      );
      assert.match(cut.info.verified.reference, lacking);
      const ids = Int32Array.from({ length: 41 }, (_, i) => (i * i + 3) % VOCABULARY);
      const output = await cut.run(ids, async (_, input) => referenceAttend(input), {
        signal: neverCancelled,
      });
      const found = await output.read(0, ids.length);
      const session = await bench.runtime.load(layered(twin).encode());
      const given = {
        input_ids: int64([...ids], [1, ids.length]),
        attention_mask: int64(new Array(ids.length).fill(1), [1, ids.length]),
      };
      const feeds = Object.fromEntries(session.inputNames.map(n => [n, given[n as keyof typeof given]]));
      const expected = floats((await session.run(feeds))['logits']!);
      const scale = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const worst = found.reduce((a, v, i) => Math.max(a, Math.abs(v - expected[i]!)), 0);
      assert.ok(worst <= 2e-5 * scale, `${worst} of ${scale}`);
      await session.release();
      await cut.dispose();
    });

  it('queries and keys normalised in 16 bits', async () => {
    const cut = await bench.load(layered(halved(groupQuery(true))));
    assert.match(cut.info.verified.reference, /16 bits/);
    await assertReproduces(cut, 5e-3);
    await cut.dispose();
  });
});
