import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { RefusedError } from '../../engine/errors';
import { planCut } from '../../engine/model/cut/cutPlan';
import { referenceAttend } from '../../engine/model/verify/proof';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { AttributeType, ElementType } from '../../engine/runtime/onnxProto';
import { floats } from '../../engine/runtime/tensor';
import { encoderDecoder } from '../fixtures/encoderDecoder';
import { ModelWriter, plainModel } from '../fixtures/onnxModels';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import { assertReproduces, Bench, DIM, HEADS, layered, linear, WIDTH, type Layer } from './cutHarness';

/** Where on a slice of a square boolean buffer, as GPT-Neo has it. */
const buffered = aroundHeads((m, { q, k, v, x }, id) => {
  const size = 80;
  const lower = Uint8Array.from({ length: size * size }, (_, i) => Number(i % size <= Math.floor(i / size)));
  m.raw(`buffer${id}`, ElementType.bool, lower, [1, 1, size, size]);
  const count = m.op('Slice', [m.op('Shape', [x]), m.ints(`s1${id}`, [1]), m.ints(`s2${id}`, [2])]);
  const zero = m.ints(`s0${id}`, [0]);
  const rows = m.op('Slice', [`buffer${id}`, zero, count, m.ints(`a2${id}`, [2])]);
  const mask = m.op('Slice', [rows, zero, count, m.ints(`a3${id}`, [3])]);
  return m.op('MatMul', [softmax(m, dropped(m, mask, m.op('MatMul', [q, transposed(m, k)]), id)), v]);
});

/** Causal with a window, or with a number beside it that hides nothing. */
const windowed = (window: number, hides: boolean) =>
  aroundHeads((m, { q, k, v, x }, id) => {
    const row = positions(m, x, `r${id}`, [-1, 1]);
    const column = positions(m, x, `c${id}`, [1, -1]);
    const size = m.ints(`window${id}`, [window], []);
    const distance = m.op('Sub', [row, column]);
    const near = hides
      ? m.op('Less', [distance, size])
      : m.op('Less', [distance, m.op('Add', [m.op('Abs', [distance]), size])]);
    const keep = m.op('And', [near, m.op('LessOrEqual', [column, row])]);
    const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
    return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), v]);
  });

/** Every head has a slope of its own; the mask is subtracted before the scores are divided. */
const maskBeforeScale = aroundHeads((m, { q, k, v, x }, id) => {
  const row = positions(m, x, `r${id}`, [-1, 1]);
  const column = positions(m, x, `c${id}`, [1, -1]);
  const hidden = m.op('Cast', [m.op('Greater', [column, row])], { to: 1 });
  const mask = m.op('Mul', [hidden, m.floats(`big${id}`, [1e30], [])]);
  const scores = m.op('Sub', [m.op('MatMul', [q, transposed(m, k)]), mask]);
  return m.op('MatMul', [softmax(m, m.op('Div', [scores, m.floats(`root${id}`, [4], [])])), v]);
});

/** A scale of its own for each head (cosine attention). */
const scalePerHead = aroundHeads((m, { q, k, v }, id) => {
  const scores = m.op('MatMul', [q, transposed(m, k)]);
  const each = m.floats(`each${id}`, [0.1, 0.2, 0.3, 0.4], [HEADS, 1, 1]);
  return m.op('MatMul', [softmax(m, m.op('Mul', [scores, each])), v]);
});

/** A bias that no rule of positions describes: sin(row * column). */
const oddBias = aroundHeads((m, { q, k, v, x }, id) => {
  const at = (dims: number[], n: string) => m.op('Cast', [positions(m, x, n + id, dims)], { to: 1 });
  const bias = m.op('Sin', [m.op('Mul', [at([-1, 1], 'r'), at([1, -1], 'c')])]);
  const scores = m.op('Add', [scaled(m, m.op('MatMul', [q, transposed(m, k)]), id), bias]);
  return m.op('MatMul', [softmax(m, scores), v]);
});

/** Keys whose token has id 0 are hidden: a mask that depends on the text. */
const contentMask = aroundHeads((m, { q, k, v }, id) => {
  const pad = m.op('Equal', ['input_ids', m.ints(`pad${id}`, [3], [])]);
  const keep = m.op('Unsqueeze', [m.op('Not', [pad]), m.ints(`un${id}`, [1, 2])]);
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), v]);
});

/** A term of queries times relative positions beside the scores (as in DeBERTa and XLNet). */
const contentTerm = aroundHeads((m, { q, k, v, x }, id) => {
  const relative = m.weight(`relative${id}`, [DIM, 64], 0.3);
  const row = positions(m, x, `r${id}`, [-1, 1]);
  const column = positions(m, x, `c${id}`, [1, -1]);
  const distance = m.op('Abs', [m.op('Sub', [row, column])]);
  const lead = m.ints(`lead${id}`, [1, HEADS]);
  const shape = m.op('Concat', [lead, m.op('Shape', [distance])], { axis: 0 });
  const term = m.op('GatherElements', [m.op('MatMul', [q, relative]), m.op('Expand', [distance, shape])], {
    axis: 3,
  });
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, m.op('Add', [scores, term])), v]);
});

/** The same with a table that grows with the text up to 70 rows: its length is no straight line of the text's. */
const endingTable = aroundHeads((m, { q, k, v, x }, id) => {
  const relative = m.weight(`relative${id}`, [70, DIM], 0.3);
  const count = m.op('Slice', [m.op('Shape', [x]), m.ints(`s1${id}`, [1]), m.ints(`s2${id}`, [2])]);
  const rows = m.op('Slice', [relative, m.ints(`s0${id}`, [0]), count, m.ints(`a0${id}`, [0])]);
  const last = m.op('Sub', [
    m.op('Gather', [m.op('Shape', [rows]), m.ints(`first${id}`, [0], [])], { axis: 0 }),
    m.ints(`less${id}`, [1], []),
  ]);
  const row = positions(m, x, `r${id}`, [-1, 1]);
  const column = positions(m, x, `c${id}`, [1, -1]);
  const distance = m.op('Min', [m.op('Abs', [m.op('Sub', [row, column])]), last]);
  const shape = m.op('Concat', [m.ints(`lead${id}`, [1, HEADS]), m.op('Shape', [distance])], { axis: 0 });
  const products = m.op('MatMul', [q, m.op('Transpose', [rows], { perm: [1, 0] })]);
  const term = m.op('GatherElements', [products, m.op('Expand', [distance, shape])], { axis: 3 });
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  return m.op('MatMul', [softmax(m, m.op('Add', [scores, term])), v]);
});

/** Grouped queries as a broadcast product of five axes. */
const broadcastGroups: Layer = (m, x, id) => {
  const split = (n: string, dims: number[], width: number) =>
    m.op('Reshape', [linear(m, x, n + id, width), m.ints(`split${n}${id}`, dims)]);
  const q = m.op('Transpose', [split('q', [0, 0, 2, 2, DIM], WIDTH)], { perm: [0, 2, 3, 1, 4] });
  const k = m.op('Transpose', [split('k', [0, 0, 2, 1, DIM], WIDTH / 2)], { perm: [0, 2, 3, 4, 1] });
  const v = m.op('Transpose', [split('v', [0, 0, 2, 1, DIM], WIDTH / 2)], { perm: [0, 2, 3, 1, 4] });
  const context = m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, k]), id)), v]);
  const back = m.op('Transpose', [context], { perm: [0, 3, 1, 2, 4] });
  return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
};

/** Einstein sums over [tokens, batch, heads, dim], as XLNet has them. */
const einsum: Layer = (m, x, id) => {
  const [q, k, v] = ['q', 'k', 'v'].map(n => {
    const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
    return m.op('Transpose', [split], { perm: [1, 0, 2, 3] });
  }) as [string, string, string];
  const scores = scaled(m, m.op('Einsum', [q, k], { equation: 'ibnd,jbnd->bnij' }), id);
  const context = m.op('Einsum', [softmax(m, scores), v], { equation: 'bnij,jbnd->ibnd' });
  const back = m.op('Transpose', [context], { perm: [1, 0, 2, 3] });
  return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
};

const fusedProduct = (
  m: ModelWriter,
  a: string,
  b: string,
  attributes: Record<string, number | { float: number }>,
) => m.op('FusedMatMul', [a, b], attributes, undefined, 'com.microsoft');

/** The scale and the transposed keys inside the product, as ONNX Runtime saves optimised models. */
const fusedScale = aroundHeads((m, { q, k, v }) => {
  const scores = fusedProduct(m, q, k, { alpha: { float: 0.25 }, transB: 1 });
  return fusedProduct(m, softmax(m, scores), v, {});
});

/** Queries, keys and values as [tokens, heads, dim], turned inside the products. */
const fusedHeads: Layer = (m, x, id) => {
  const [q, k, v] = ['q', 'k', 'v'].map(n =>
    m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [-1, HEADS, DIM])]),
  ) as [string, string, string];
  const scores = fusedProduct(m, q, k, {
    alpha: { float: 0.25 },
    transBatchA: 1,
    transBatchB: 1,
    transB: 1,
  });
  const context = fusedProduct(m, softmax(m, scores), v, { transBatchB: 1 });
  const back = m.op('Transpose', [context], { perm: [1, 0, 2] });
  return m.op('Reshape', [back, m.ints(`join${id}`, [1, -1, WIDTH])]);
};

/** The whole layer in 16 bits. */
const half: Layer = (m, x, id) => {
  const low = m.op('Cast', [x], { to: ElementType.float16 });
  const parts = ['q', 'k', 'v'].map(n => {
    const weight = m.op('Cast', [m.weight(n + id, [WIDTH, WIDTH])], { to: ElementType.float16 });
    const split = m.op('Reshape', [
      m.op('MatMul', [low, weight]),
      m.ints(`split${n}${id}`, [0, 0, HEADS, DIM]),
    ]);
    return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  }) as [string, string, string];
  const scale = m.op('Cast', [m.floats(`scale${id}`, [0.25], [])], { to: ElementType.float16 });
  const row = positions(m, x, `r${id}`, [-1, 1]);
  const keep = m.op('LessOrEqual', [positions(m, x, `c${id}`, [1, -1]), row]);
  const lowest = m.op('Cast', [m.floats(`low${id}`, [-65504], [])], { to: ElementType.float16 });
  const scores = m.op('Mul', [m.op('MatMul', [parts[0], transposed(m, parts[1])]), scale]);
  const context = m.op('MatMul', [softmax(m, m.op('Where', [keep, scores, lowest])), parts[2]]);
  const joined = m.op('Reshape', [
    m.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
    m.ints(`join${id}`, [0, 0, WIDTH]),
  ]);
  return m.op('Cast', [joined], { to: 1 });
};

/** Projections with 4-bit weights, and with 8-bit weights that are dequantised first. */
const fewBits: Layer = (m, x, id) => {
  const block = 32;
  const nbits = (n: string) => {
    const packed = Uint8Array.from(
      { length: (WIDTH * WIDTH) / 2 },
      (_, i) => (i * 7919 + n.charCodeAt(0) * 31 + id.charCodeAt(0)) % 256,
    );
    const blocks = WIDTH / block;
    const inputs = [
      x,
      m.raw(`w${n}${id}`, ElementType.uint8, packed, [WIDTH, blocks, block / 2]),
      m.weight(`s${n}${id}`, [WIDTH * blocks], 0.05),
    ];
    return m.op(
      'MatMulNBits',
      inputs,
      { K: WIDTH, N: WIDTH, bits: 4, block_size: block },
      undefined,
      'com.microsoft',
    );
  };
  const eight = () => {
    const bytes = Uint8Array.from({ length: WIDTH * WIDTH }, (_, i) => (i * 31 + id.charCodeAt(0)) % 256);
    m.raw(`w8${id}`, ElementType.int8, bytes, [WIDTH, WIDTH]);
    return m.op('MatMul', [x, m.op('DequantizeLinear', [`w8${id}`, m.floats(`s8${id}`, [0.004], [])])]);
  };
  const [q, k, v] = [nbits('q'), nbits('k'), eight()].map((y, i) => {
    const split = m.op('Reshape', [y, m.ints(`split${i}${id}`, [0, 0, HEADS, DIM])]);
    return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  }) as [string, string, string];
  const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
  const back = m.op('Transpose', [m.op('MatMul', [softmax(m, scores), v])], { perm: [0, 2, 1, 3] });
  return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
};

/** Everything rounded to 8 bits and back, as static quantisation leaves it. */
const rounded = aroundHeads((m, { q, k, v }, id) => {
  const around = (x: string, n: string, scale: number, zero: number) => {
    const s = m.floats(`s${n}${id}`, [scale], []);
    const z = m.raw(`z${n}${id}`, ElementType.uint8, Uint8Array.of(zero), []);
    return m.op('DequantizeLinear', [m.op('QuantizeLinear', [x, s, z]), s, z]);
  };
  const product = m.op('MatMul', [around(q, 'q', 0.05, 128), around(transposed(m, k), 'k', 0.05, 128)]);
  const scores = scaled(m, around(product, 'qk', 0.5, 128), id);
  const p = around(softmax(m, scores), 'p', 1 / 255, 0);
  return around(m.op('MatMul', [p, around(v, 'v', 0.05, 128)]), 'c', 0.05, 128);
});

interface Form {
  name: string;
  layer: Layer;
  mask: string;
  kvHeads?: number;
  tolerance?: number;
  context?: number;
  /** Length of the text that the cut model is tried on. */
  tokens?: number;
}

const graphs = "bias computed by the model's graph";
const forms: Form[] = [
  { name: 'mask sliced from a buffer, no scale', layer: buffered, mask: 'causal', context: 80 },
  { name: 'a window of 20 tokens', layer: windowed(20, true), mask: 'causal, window 20' },
  {
    name: 'a window of 2,000 tokens',
    layer: windowed(2000, true),
    mask: 'causal, window 2000',
    tokens: 2100,
  },
  { name: 'a number that is no window', layer: windowed(2000, false), mask: 'causal' },
  { name: 'mask subtracted before the division', layer: maskBeforeScale, mask: 'causal' },
  { name: 'a scale per head', layer: scalePerHead, mask: 'full' },
  { name: 'a bias of no known rule', layer: oddBias, mask: `full, ${graphs}` },
  { name: 'a mask that depends on the text', layer: contentMask, mask: `full, ${graphs}` },
  { name: 'a term of queries and relative positions', layer: contentTerm, mask: `full, ${graphs}` },
  { name: 'a table of positions that ends', layer: endingTable, mask: `full, ${graphs}`, tokens: 100 },
  { name: 'grouped queries by broadcasting', layer: broadcastGroups, mask: 'full', kvHeads: 2 },
  { name: 'products with a factor and turned keys', layer: fusedScale, mask: 'full' },
  { name: 'products with turned heads', layer: fusedHeads, mask: 'full' },
  { name: 'Einstein sums', layer: einsum, mask: 'full' },
  { name: '4-bit and 8-bit weights', layer: fewBits, mask: 'full' },
  { name: 'rounded to 8 bits throughout', layer: rounded, mask: 'full', tolerance: 0.15 },
  { name: '16-bit floats', layer: half, mask: 'causal', tolerance: 5e-3 },
];

describe('forms of attention in a graph', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const { name, layer, mask, kvHeads = HEADS, tolerance = 2e-5, context = null, tokens } of forms)
    it(`${name}: cut and proved`, async () => {
      const cut = await bench.load(layered(layer));
      assert.deepEqual(
        cut.info.cores.map(c => [c.mask, c.heads, c.kvHeads, c.dim]),
        Array(2).fill([mask, HEADS, kvHeads, DIM]),
      );
      assert.equal(cut.info.context, context);
      assert.equal(cut.info.verified.bitEqual, true);
      await assertReproduces(cut, tolerance, tokens);
      await cut.dispose();
    });

  it('a decoder with past keys and values: run with empty ones', async () => {
    const m = layered(
      aroundHeads((m, { q, k, v, x }, id) => {
        const past = (n: string) =>
          m.input(`past_key_values.${id}.${n}`, 'float32', ['batch', HEADS, 'past', DIM]);
        const keys = m.op('Concat', [past('key'), k], { axis: 2 }, `present.${id}.key`);
        const values = m.op('Concat', [past('value'), v], { axis: 2 }, `present.${id}.value`);
        m.output(`present.${id}.key`);
        m.output(`present.${id}.value`);
        const row = positions(m, x, `r${id}`, [-1, 1]);
        const keep = m.op('LessOrEqual', [positions(m, x, `c${id}`, [1, -1]), row]);
        const scores = scaled(m, m.op('MatMul', [q, transposed(m, keys)]), id);
        return m.op('MatMul', [softmax(m, dropped(m, keep, scores, id)), values]);
      }),
    );
    const cut = await bench.load(m);
    assert.deepEqual(
      cut.info.cores.map(c => c.mask),
      ['causal', 'causal'],
    );
    assert.equal(cut.info.kind, 'decoder');
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('a merged decoder: the branch without cache', async () => {
    const cut = await bench.load(merged());
    assert.equal(cut.info.cores.length, 2);
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('an encoder-decoder with a target text of its own', async () => {
    const cut = await bench.load(encoderDecoder());
    assert.equal(cut.info.kind, 'encoder-decoder');
    assert.deepEqual(cut.info.cores.map(c => `${c.kind} ${c.layer} ${c.mask}`).sort(), [
      'cross 0 full',
      'decoder 0 causal',
      'encoder 0 full',
    ]);
    const ids = Int32Array.from({ length: 17 }, (_, i) => i);
    const targetIds = Int32Array.from({ length: 9 }, (_, i) => 30 - i);
    const shapes: Record<string, number[]> = {};
    const output = await cut.run(
      ids,
      async (info, input) => {
        shapes[info.kind] = [input.queries, input.keys];
        return referenceAttend(input);
      },
      { signal: neverCancelled, targetIds },
    );
    assert.deepEqual(shapes, { encoder: [17, 17], decoder: [9, 9], cross: [9, 17] });
    assert.equal(output.rows, 9);
    await cut.dispose();
  });

  it('a text beyond a mask that nobody named is refused in one sentence', async () => {
    // Positions that depend on the text: how far they go is not seen.
    const m = layered(maskBeforeScale);
    const word = m.nodes[0]!.output![0]!;
    const count = m.nodes.length;
    const zero = m.op('Mul', ['input_ids', m.ints('nothing', [0])]);
    const range = m.op('Add', [positions(m, 'input_ids', 'learned', [1, -1]), zero]);
    const position = m.op('Gather', [m.weight('places', [100, WIDTH]), range]);
    m.op('Add', [word, position], {}, 'placed');
    for (const node of m.nodes.slice(1, count))
      node.input = node.input!.map(name => (name === word ? 'placed' : name));
    m.nodes.splice(1, 0, ...m.nodes.splice(count));
    const cut = await bench.load(m);
    const run = cut.run(new Int32Array(120), async (_, i) => referenceAttend(i), {
      signal: neverCancelled,
    });
    await assert.rejects(run, (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      return /^ONNX Runtime cannot run the model: the text is longer than one of its tables.*\.$/.test(
        error.message,
      );
    });
    await cut.dispose();
  });

  it('a table of learned positions ends the texts; a table of distances does not', async () => {
    const learned = layered(maskBeforeScale);
    const at = learned.nodes.findIndex(n => n.output![0] === learned.nodes[0]!.output![0]);
    const word = learned.nodes[at]!.output![0]!;
    const count = learned.nodes.length;
    const range = positions(learned, 'input_ids', 'learned', [1, -1]);
    const position = learned.op('Gather', [learned.weight('places', [70, WIDTH]), range]);
    learned.op('Add', [word, position], {}, 'placed');
    for (const node of learned.nodes.slice(at + 1, count))
      node.input = node.input!.map(name => (name === word ? 'placed' : name));
    learned.nodes.splice(at + 1, 0, ...learned.nodes.splice(count));
    const cut = await bench.load(learned);
    assert.equal(cut.info.context, 70);
    await assertReproduces(cut);
    await cut.dispose();

    const distances = aroundHeads((m, { q, k, v, x }, id) => {
      const difference = m.op('Sub', [
        positions(m, x, `r${id}`, [-1, 1]),
        positions(m, x, `c${id}`, [1, -1]),
      ]);
      const near = m.op('Min', [m.op('Abs', [difference]), m.ints(`most${id}`, [15], [])]);
      const bias = m.op('Gather', [m.weight(`near${id}`, [16, HEADS], 2), near]);
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      const biased = m.op('Add', [scores, m.op('Transpose', [bias], { perm: [2, 0, 1] })]);
      return m.op('MatMul', [softmax(m, biased), v]);
    });
    const relative = await bench.load(layered(distances));
    assert.equal(relative.info.context, null);
    assert.equal(relative.info.cores[0]!.mask, 'full, relative bias');
    await assertReproduces(relative, 2e-5, 90);
    await relative.dispose();
  });

  it('a base model: hidden states, no vocabulary', async () => {
    const m = layered(scalePerHead);
    const last = m.nodes.find(n => n.output![0] === 'logits')!;
    last.op_type = 'Mul';
    last.output = ['last_hidden_state'];
    m.outputs[0]!.name = 'last_hidden_state';
    last.input = [last.input![0]!, m.floats('gain', new Float32Array(WIDTH).fill(2))];
    const cut = await bench.load(m);
    assert.equal(cut.info.languageModelHead, false);
    const output = await cut.run(new Int32Array(5), async (_, i) => referenceAttend(i), {
      signal: neverCancelled,
    });
    assert.deepEqual([output.kind, output.rows, output.width], ['hidden', 5, WIDTH]);
    await cut.dispose();
  });

  it('a softmax that shares its mass with a sink, one for each head', async () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      const shape = m.op('Shape', [scores]);
      const lead = m.op('Slice', [shape, m.ints(`s0${id}`, [0]), m.ints(`s3${id}`, [3])]);
      const dims = m.op('Concat', [lead, m.ints(`one${id}`, [1])], { axis: 0 });
      const sink = m.op('Expand', [m.weight(`sink${id}`, [1, HEADS, 1, 1], 3), dims]);
      const p = softmax(m, m.op('Concat', [scores, sink], { axis: -1 }));
      const end = m.ints(`end${id}`, [-1]);
      const kept = m.op('Slice', [p, m.ints(`from${id}`, [0]), end, m.ints(`axis${id}`, [-1])]);
      return m.op('MatMul', [kept, v]);
    });
    const cut = await bench.load(layered(layer));
    assert.deepEqual(
      cut.info.cores.map(c => c.mask),
      ['full, sink', 'full, sink'],
    );
    await assertReproduces(cut);
    await cut.dispose();
  });

  const refused = (m: ModelWriter, message: RegExp) =>
    assert.rejects(bench.load(m), (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      assert.match(error.message, message);
      return true;
    });

  it('refuses a model without attention', () => refused(plainModel(), /No attention was found/));

  it('counts packed weights of 4 bits in weights, and neither their bytes nor their scales', async () => {
    const plain = aroundHeads((m, { q, k, v }, id) =>
      m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)), v]),
    );
    const [few, full] = [await bench.load(layered(fewBits)), await bench.load(layered(plain))];
    // Beside the same weights there are only the scales of the two 8-bit tables, one number each.
    const beside = few.info.parameters - full.info.parameters;
    assert.ok(beside >= 0 && beside <= 2, `${beside} more`);
    await few.dispose();
    await full.dispose();
  });

  it('refuses keys that stand before the text by name', () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const before = (x: string) =>
        m.op('Concat', [m.weight(`before${x}${id}`, [1, HEADS, 3, DIM]), x], { axis: 2 });
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, before(k))]), id);
      return m.op('MatMul', [softmax(m, scores), before(v)]);
    });
    return refused(layered(layer), /hold 3 more than the tokens of the text/);
  });

  it('refuses differential attention by name', () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const map = (perm: string) =>
        softmax(m, scaled(m, m.op('MatMul', [perm, transposed(m, k)]), perm + id));
      const lambda = m.floats(`lambda${id}`, [0.4], []);
      const other = m.op('Mul', [map(m.op('Neg', [q])), lambda]);
      return m.op('MatMul', [m.op('Sub', [map(q), other]), v]);
    });
    return refused(layered(layer), /differential attention/);
  });

  it('refuses a model exported in training mode, and takes one whose Dropout is switched off', async () => {
    const layer = (training: number) =>
      aroundHeads((m, { q, k, v }, id) => {
        m.floats(`ratio${id}`, [0.1], []);
        m.raw(`training${id}`, ElementType.bool, Uint8Array.of(training), []);
        const shares = softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id));
        const kept = m.op('Dropout', [shares, `ratio${id}`, `training${id}`]);
        return m.op('MatMul', [kept, v]);
      });
    await refused(layered(layer(1)), /exported in training mode/);
    await (await bench.load(layered(layer(0)))).dispose();
  });

  it('refuses a model that draws random numbers', () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      const noisy = m.op('Add', [scores, m.op('RandomNormalLike', [scores])]);
      return m.op('MatMul', [softmax(m, noisy), v]);
    });
    return refused(layered(layer), /draws random numbers \(RandomNormalLike/);
  });

  it('refuses kernel attention by name', () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const features = (x: string) => m.op('Add', [m.op('Elu', [x]), m.floats(`one${x}${id}`, [1], [])]);
      const sums = m.op('MatMul', [transposed(m, features(k)), v]);
      return m.op('MatMul', [features(q), sums]);
    });
    return refused(layered(layer), /linear or kernel attention/);
  });

  it('refuses inputs that it cannot fill', () => {
    const m = layered(scalePerHead);
    m.input('pixel_values', 'float32', ['batch', 3, 8, 8]);
    m.op('Identity', ['pixel_values'], {}, 'other');
    m.output('other');
    return refused(m, /input pixel_values/);
  });

  it('refuses a fixed number of tokens', () => {
    const m = new ModelWriter();
    m.input('input_ids', 'int64', [1, 16]);
    m.weight('table', [40, WIDTH]);
    m.op('Gather', ['table', 'input_ids'], {}, 'logits');
    m.output('logits');
    return refused(m, /exactly 16 tokens/);
  });

  it('refuses probabilities that are used elsewhere', () => {
    const layer = aroundHeads((m, { q, k, v }) => {
      const p = softmax(m, m.op('MatMul', [q, transposed(m, k)]));
      return m.op('Add', [m.op('MatMul', [p, v]), m.op('ReduceMax', [p], { keepdims: 1, axes: [3] })]);
    });
    return refused(layered(layer), /used elsewhere/);
  });

  it('refuses what ONNX Runtime does not load', () => {
    const m = layered(scalePerHead);
    m.nodes.find(n => n.op_type === 'Softmax')!.op_type = 'Softmaxx';
    return refused(m, /ONNX Runtime|No attention/);
  });

  it('names the setting of a newer operator that ONNX Runtime does not know', () => {
    const layer: Layer = (m, x, id) => {
      const [q, k, v] = ['q', 'k', 'v'].map(n => linear(m, x, n + id));
      const settings = { q_num_heads: HEADS, kv_num_heads: HEADS, left_window_size: 3 };
      return m.op('Attention', [q!, k!, v!], settings);
    };
    return refused(
      layered(layer, { '': 25 }),
      /does not know the setting left_window_size of the operator Attention/,
    );
  });

  it('a model with a loop beside its attention', async () => {
    const layer = aroundHeads((m, { q, k, v }, id) => {
      const looped = doubled(m, v, id);
      return m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)), looped]);
    });
    const cut = await bench.load(layered(layer));
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('a model of more than 2 GB with its weights in a file beside it', async () => {
    const m = layered(maskBeforeScale);
    const rows = 9_000_000;
    // A sparse file: zeros, except where the model looks.
    const weights = bench.path('large.bin');
    const handle = openSync(weights, 'w');
    ftruncateSync(handle, rows * WIDTH * 4);
    for (let row = 0; row < 40; row++)
      writeSync(
        handle,
        Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(row * i)),
        0,
        WIDTH * 4,
        row * WIDTH * 4,
      );
    closeSync(handle);
    const entries = { location: 'large.bin', offset: '0', length: String(rows * WIDTH * 4) };
    m.initializers.push({
      name: 'large',
      dims: [rows, WIDTH],
      data_type: ElementType.float32,
      data_location: 1,
      external_data: Object.entries(entries).map(([key, value]) => ({ key, value })),
    });
    const first = m.nodes.find(n => n.op_type === 'Add')!;
    const wide = m.op('Gather', ['large', 'input_ids']);
    m.op('Add', [first.input![0]!, wide], {}, 'sum');
    first.input = ['sum', first.input![1]!];
    m.nodes.unshift(...m.nodes.splice(-2));
    m.nodes.unshift(m.nodes.splice(2, 1)[0]!);
    const before = process.memoryUsage().rss;
    const cut = await bench.load(m);
    assert.ok(cut.info.parameters > 576_000_000);
    assert.ok(process.memoryUsage().rss - before < 300 * 2 ** 20, 'the weights were copied');
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('logits from the embedding table itself', async () => {
    const m = layered(maskBeforeScale);
    const last = m.nodes.pop()!;
    const turned = m.op('Transpose', ['table'], { perm: [1, 0] });
    m.nodes.push({ ...last, input: [last.input![0]!, turned] });
    const cut = await bench.load(m);
    assert.equal(cut.info.verified.bitEqual, true);
    assert.equal(cut.info.languageModelHead, true);
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('logits of 16 bits', async () => {
    const m = layered(half);
    m.nodes.at(-1)!.output = ['logits32'];
    m.op('Cast', ['logits32'], { to: ElementType.float16 }, 'logits');
    m.outputs.length = 0;
    m.output('logits', 'float16');
    const cut = await bench.load(m);
    assert.equal(cut.info.languageModelHead, true);
    assert.match(cut.info.verified.reference, /16 bits/);
    await assertReproduces(cut, 5e-3);
    await cut.dispose();
  });

  it('a last projection in 16 bits: run on blocks of rows as well', async () => {
    const m = layered(half);
    const last = m.nodes.pop()!;
    const [hidden, weight] = last.input!.map(name => m.op('Cast', [name], { to: ElementType.float16 }));
    m.op('MatMul', [hidden!, weight!], {}, 'logits');
    m.outputs.length = 0;
    m.output('logits', 'float16');
    const cut = await bench.load(m);
    await assertReproduces(cut, 5e-3);
    const ids = Int32Array.from({ length: 30 }, (_, i) => i % 40);
    const run = () => cut.run(ids, async (_, i) => referenceAttend(i), { signal: neverCancelled });
    const output = await run();
    const whole = await output.read(0, 30);
    assert.deepEqual(await output.read(7, 20), whole.slice(7 * 40, 20 * 40));
    await cut.dispose();
    const skeleton = readSkeleton(bench.path('model.onnx'));
    const plan = await planCut(skeleton, {}, bench.runtime, neverCancelled);
    assert.equal(plan.head?.hiddenSize, WIDTH);
  });

  it('gives the logits of the uncut model to any number of tokens', async () => {
    const cut = await bench.load(layered(maskBeforeScale));
    for (const tokens of [1, 2, 9, 130]) {
      const ids = Int32Array.from({ length: tokens }, (_, i) => (7 * i) % 40);
      const expected = floats(await cut.runUncut(ids));
      const output = await cut.run(ids, async (_, i) => referenceAttend(i), { signal: neverCancelled });
      const found = await output.read(0, tokens);
      assert.ok(found.every((v, i) => Math.abs(v - expected[i]!) < 1e-4));
    }
    await cut.dispose();
  });
});

/** x + x by a Loop of one turn whose body reads x from the graph around it. */
function doubled(m: ModelWriter, x: string, id: string): string {
  const value = (name: string, type: number) => ({
    name,
    type: { tensor_type: { elem_type: type, ...(type === 1 ? {} : { shape: { dim: [] } }) } },
  });
  const body = {
    name: `body${id}`,
    input: [value(`turn${id}`, 7), value(`go${id}`, 9), value(`sum${id}`, 1)],
    output: [value(`on${id}`, 9), value(`next${id}`, 1)],
    node: [
      { op_type: 'Identity', input: [`go${id}`], output: [`on${id}`] },
      { op_type: 'Add', input: [`sum${id}`, x], output: [`next${id}`] },
    ],
  };
  m.nodes.push({
    op_type: 'Loop',
    input: [m.ints(`turns${id}`, [1], []), '', x],
    output: [`doubled${id}`],
    attribute: [{ name: 'body', type: AttributeType.graph, g: body as never }],
  });
  return `doubled${id}`;
}

/** The layers inside both branches of an If on `use_cache_branch`; the cached one is another function. */
function merged(): ModelWriter {
  const inner = layered(maskBeforeScale);
  const outer = new ModelWriter();
  outer.input('input_ids', 'int64', ['batch', 'sequence']);
  outer.input('attention_mask', 'int64', ['batch', 'sequence']);
  outer.input('use_cache_branch', 'bool', [1]);
  outer.initializers.push(...inner.initializers);
  const output = [{ name: 'logits', type: { tensor_type: { elem_type: 1 } } }];
  const rename = (suffix: string) => {
    const made = new Set(inner.nodes.flatMap(n => n.output!));
    const name = (n: string) => (made.has(n) ? n + suffix : n);
    return inner.nodes.map(n => ({ ...n, input: n.input!.map(name), output: n.output!.map(name) }));
  };
  const branch = (suffix: string, extra: object[] = []) => ({
    name: `branch${suffix}`,
    node: [...rename(suffix), ...extra],
    output: [{ ...output[0], name: extra.length > 0 ? 'negative' : `logits${suffix}` }],
  });
  const negated = { op_type: 'Neg', input: ['logits_then'], output: ['negative'] };
  outer.nodes.push({
    op_type: 'If',
    input: ['use_cache_branch'],
    output: ['logits'],
    attribute: [
      { name: 'then_branch', type: AttributeType.graph, g: branch('_then', [negated]) as never },
      { name: 'else_branch', type: AttributeType.graph, g: branch('_else') as never },
    ],
  });
  outer.output('logits');
  return outer;
}
