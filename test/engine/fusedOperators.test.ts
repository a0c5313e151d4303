import assert from 'node:assert/strict';
import { RefusedError } from '../../engine/errors';
import { ElementType } from '../../engine/runtime/onnxProto';
import type { ModelWriter } from '../fixtures/onnxModels';
import {
  assertReproduces,
  Bench,
  DIM,
  halved,
  HEADS,
  layered,
  linear,
  WIDTH,
  type Layer,
} from './cutHarness';

const MS = 'com.microsoft';

interface Case {
  name: string;
  layer: Layer;
  opsets?: Record<string, number>;
  mask: string;
  kvHeads?: number;
  quantised?: boolean;
}

const packed =
  (
    attributes: Record<string, number | number[] | { float: number }>,
    more: (m: ModelWriter) => string[] = () => [],
  ): Layer =>
  (m, x, id) => {
    const sizes = (attributes['qkv_hidden_sizes'] as number[] | undefined) ?? [WIDTH, WIDTH, WIDTH];
    const total = sizes.reduce((a, b) => a + b, 0);
    const inputs = [x, m.weight(`w${id}`, [WIDTH, total]), m.weight(`b${id}`, [total]), ...more(m)];
    return m.op('Attention', inputs, { num_heads: HEADS, ...attributes }, undefined, MS);
  };

const mask32 = (m: ModelWriter) => m.op('Cast', ['attention_mask'], { to: ElementType.int32 });

/** [1, HEADS, tokens, tokens] with slope * key position: an additive bias that depends on the length. */
function positionBias(m: ModelWriter, x: string, id: string): string {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`one${id}`, [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints(`zero${id}`, [0], []), count, m.ints(`step${id}`, [1], [])]);
  const row = m.op('Cast', [m.op('Reshape', [range, m.ints(`row${id}`, [1, 1, 1, -1])])], { to: 1 });
  const slopes = m.floats(`slopes${id}`, [0.5, 0.25, 0.125, 0.0625], [1, HEADS, 1, 1]);
  const square = m.op(
    'Concat',
    [
      m.ints(`lead${id}`, [1, HEADS]),
      m.op('Reshape', [count, m.ints(`c1${id}`, [1])]),
      m.op('Reshape', [count, m.ints(`c2${id}`, [1])]),
    ],
    { axis: 0 },
  );
  return m.op('Expand', [m.op('Mul', [row, slopes]), square]);
}

const multiHead =
  (
    attributes: Record<string, number | { float: number }>,
    more: (m: ModelWriter, x: string, id: string) => string[] = () => [],
  ): Layer =>
  (m, x, id) => {
    const [q, k, v] = ['q', 'k', 'v'].map(n => linear(m, x, n + id, WIDTH)) as [string, string, string];
    return m.op(
      'MultiHeadAttention',
      [q, k, v, ...more(m, x, id)],
      { num_heads: HEADS, ...attributes },
      undefined,
      MS,
    );
  };

const groupQuery =
  (
    attributes: Record<string, number | { float: number }>,
    kvHeads: number,
    packedInput = false,
    sinks = false,
  ): Layer =>
  (m, x, id) => {
    const kvWidth = kvHeads * DIM;
    const sources = packedInput
      ? [linear(m, x, `qkv${id}`, WIDTH + 2 * kvWidth), '', '']
      : [linear(m, x, `q${id}`, WIDTH), linear(m, x, `k${id}`, kvWidth), linear(m, x, `v${id}`, kvWidth)];
    // Lengths as exporters compute them: the last position, and the total.
    const ones = m.op('Cast', ['attention_mask'], { to: ElementType.int32 });
    const sum = m.op('ReduceSum', [ones, m.ints(`axis${id}`, [1])], { keepdims: 0 });
    const one = m.raw(`one32${id}`, ElementType.int32, new Uint8Array(Int32Array.of(1).buffer), [1]);
    const last = m.op('Sub', [sum, one]);
    const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`at${id}`, [1], [])], { axis: 0 });
    const total = m.op('Cast', [count], { to: ElementType.int32 });
    const inputs: string[] = [...sources, '', '', last, total];
    if (attributes['do_rotary']) {
      const angle = (fn: (x: number) => number) =>
        Float32Array.from({ length: 128 * (DIM / 2) }, (_, i) => {
          const position = Math.floor(i / (DIM / 2));
          return fn(position / 100 ** ((i % (DIM / 2)) / (DIM / 2)));
        });
      inputs.push(m.floats(`cos${id}`, angle(Math.cos), [128, DIM / 2]));
      inputs.push(m.floats(`sin${id}`, angle(Math.sin), [128, DIM / 2]));
    }
    if (sinks) inputs.push(...Array<string>(11 - inputs.length).fill(''), m.weight(`sink${id}`, [HEADS], 3));
    const all = { num_heads: HEADS, kv_num_heads: kvHeads, ...attributes };
    return m.ops('GroupQueryAttention', inputs, [`out${id}`, `pk${id}`, `pv${id}`], all, MS)[0]!;
  };

const quantisedAttention: Layer = (m, x, id) => {
  const [q, scale, zero] = m.ops('DynamicQuantizeLinear', [x], [`xq${id}`, `xs${id}`, `xz${id}`]) as [
    string,
    string,
    string,
  ];
  const bytes = Uint8Array.from({ length: WIDTH * 3 * WIDTH }, (_, i) => (i * 7919 + id.charCodeAt(0)) % 251);
  const weight = m.raw(`w${id}`, ElementType.int8, bytes, [WIDTH, 3 * WIDTH]);
  const inputs = [
    q,
    weight,
    m.weight(`b${id}`, [3 * WIDTH]),
    scale,
    m.floats(`ws${id}`, [0.004], []),
    '',
    zero,
  ];
  inputs.push(m.raw(`wz${id}`, ElementType.int8, Uint8Array.of(0), []));
  return m.op('QAttention', inputs, { num_heads: HEADS }, undefined, MS);
};

const standard =
  (attributes: Record<string, number | { float: number }>, packedInput: boolean, kvHeads = HEADS): Layer =>
  (m, x, id) => {
    const widths = [WIDTH, kvHeads * DIM, kvHeads * DIM];
    const parts = ['q', 'k', 'v'].map((n, i) => {
      const y = linear(m, x, n + id, widths[i]!);
      if (packedInput) return y;
      const split = m.op('Reshape', [y, m.ints(`s${n}${id}`, [0, 0, -1, DIM])]);
      return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
    });
    const counts: Record<string, number> = packedInput ? { q_num_heads: HEADS, kv_num_heads: kvHeads } : {};
    const out = m.op('Attention', parts, { ...counts, ...attributes });
    if (packedInput) return out;
    return m.op('Reshape', [m.op('Transpose', [out], { perm: [0, 2, 1, 3] }), m.ints(`m${id}`, [0, 0, -1])]);
  };

const OP23 = { '': 23 };

const cases: Case[] = [
  { name: 'Attention', layer: packed({}), mask: 'full' },
  { name: 'Attention, unidirectional', layer: packed({ unidirectional: 1 }), mask: 'causal' },
  { name: 'Attention, scale', layer: packed({ scale: { float: 0.2 } }), mask: 'full' },
  { name: 'Attention, mask', layer: packed({}, m => [mask32(m)]), mask: 'full' },
  {
    name: 'Attention, values of another width',
    layer: (m, x, id) => linear16(m, packed({ qkv_hidden_sizes: [WIDTH, WIDTH, 16] })(m, x, id), id),
    mask: 'full',
  },
  { name: 'MultiHeadAttention', layer: multiHead({}), mask: 'full' },
  {
    name: 'MultiHeadAttention, bias',
    layer: multiHead({}, (m, _, id) => [m.weight(`bias${id}`, [3 * WIDTH])]),
    mask: 'full',
  },
  { name: 'MultiHeadAttention, unidirectional', layer: multiHead({ unidirectional: 1 }), mask: 'causal' },
  { name: 'MultiHeadAttention, scale', layer: multiHead({ scale: { float: 0.5 } }), mask: 'full' },
  { name: 'MultiHeadAttention, padding mask', layer: multiHead({}, m => ['', mask32(m)]), mask: 'full' },
  {
    name: 'MultiHeadAttention, attention bias',
    layer: multiHead({}, (m, x, id) => ['', '', positionBias(m, x, id)]),
    mask: 'full, ALiBi',
  },
  { name: 'GroupQueryAttention', layer: groupQuery({}, 2), mask: 'causal', kvHeads: 2 },
  { name: 'GroupQueryAttention, one key head', layer: groupQuery({}, 1), mask: 'causal', kvHeads: 1 },
  { name: 'GroupQueryAttention, rotary', layer: groupQuery({ do_rotary: 1 }, 2), mask: 'causal', kvHeads: 2 },
  {
    name: 'GroupQueryAttention, interleaved rotary',
    layer: groupQuery({ do_rotary: 1, rotary_interleaved: 1 }, 2),
    mask: 'causal',
    kvHeads: 2,
  },
  {
    name: 'GroupQueryAttention, sinks',
    layer: groupQuery({ local_window_size: 8 }, 2, false, true),
    mask: 'causal, window 8, sink',
    kvHeads: 2,
  },
  {
    name: 'GroupQueryAttention, smooth softmax',
    layer: groupQuery({ smooth_softmax: 1 }, 2),
    mask: 'causal, sink',
    kvHeads: 2,
  },
  { name: 'GroupQueryAttention, packed', layer: groupQuery({}, 2, true), mask: 'causal', kvHeads: 2 },
  {
    name: 'GroupQueryAttention, window',
    layer: groupQuery({ local_window_size: 8 }, 2),
    mask: 'causal, window 8',
    kvHeads: 2,
  },
  {
    name: 'GroupQueryAttention, soft cap',
    layer: groupQuery({ softcap: { float: 2 } }, 2),
    mask: 'causal, soft cap 2',
    kvHeads: 2,
  },
  { name: 'QAttention', layer: quantisedAttention, mask: 'full', quantised: true },
  { name: 'standard Attention', layer: standard({}, false), opsets: OP23, mask: 'full' },
  { name: 'standard Attention, packed', layer: standard({}, true), opsets: OP23, mask: 'full' },
  {
    name: 'standard Attention, causal',
    layer: standard({ is_causal: 1 }, false),
    opsets: OP23,
    mask: 'causal',
  },
  {
    name: 'standard Attention, scale and soft cap',
    layer: standard({ is_causal: 1, scale: { float: 0.7 }, softcap: { float: 3 } }, false),
    opsets: OP23,
    mask: 'causal, soft cap 3',
  },
  {
    name: 'standard Attention, packed, grouped queries',
    layer: standard({ is_causal: 1 }, true, 2),
    opsets: OP23,
    mask: 'causal',
    kvHeads: 2,
  },
  {
    name: 'standard Attention, grouped queries',
    layer: standard({}, false, 2),
    opsets: OP23,
    mask: 'full',
    kvHeads: 2,
  },
];

function linear16(m: ModelWriter, x: string, id: string): string {
  return m.op('MatMul', [x, m.weight(`back${id}`, [16, WIDTH])]);
}

describe('fused attention operators', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const { name, layer, opsets, mask, kvHeads = HEADS, quantised = false } of cases)
    it(`${name}: equals the operator itself`, async () => {
      const cut = await bench.load(layered(layer, opsets));
      assert.equal(cut.info.cores.length, 2);
      for (const core of cut.info.cores) {
        assert.equal(core.mask, mask);
        assert.equal(core.heads, HEADS);
        assert.equal(core.kvHeads, kvHeads);
      }
      assert.equal(cut.info.verified.bitEqual, true);
      await assertReproduces(cut, quantised ? 1e-2 : 2e-5);
      await cut.dispose();
    });

  it('standard Attention in 16 bits: equals the operator within 16 bits', async () => {
    const layer = standard({ is_causal: 1, softcap: { float: 3 } }, true, 2);
    const cut = await bench.load(layered(halved(layer), OP23));
    assert.deepEqual(
      cut.info.cores.map(c => c.mask),
      ['causal, soft cap 3', 'causal, soft cap 3'],
    );
    await assertReproduces(cut, 5e-3);
    await cut.dispose();
  });

  it('a fused operator in 16 bits: its products have the precision that counts', async () => {
    const cut = await bench.load(layered(halved(multiHead({ unidirectional: 1 }))));
    assert.match(cut.info.verified.reference, /16 bits/);
    await assertReproduces(cut, 5e-3);
    await cut.dispose();
  });

  it('refuses operators of no plain attention', async () => {
    const layer: Layer = (m, x, id) => {
      const parts = ['q', 'k', 'v'].map(n => linear(m, x, n + id, WIDTH));
      return m.op('SparseAttention', parts, { num_heads: HEADS }, undefined, MS);
    };
    await assert.rejects(bench.load(layered(layer)), (error: Error) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /uses SparseAttention/);
      return true;
    });
  });
});
