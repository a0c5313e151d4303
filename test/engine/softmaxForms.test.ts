import assert from 'node:assert/strict';
import { ElementType } from '../../engine/runtime/onnxProto';
import { floats } from '../../engine/runtime/tensor';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ModelWriter } from '../fixtures/onnxModels';
import {
  assertReproduces,
  Bench,
  DIM,
  HEADS,
  layered,
  linear,
  VOCABULARY,
  WIDTH,
  type Layer,
} from './cutHarness';

/** A layer whose probabilities are made of its scaled scores by `normalise`. */
const normalised =
  (normalise: (m: ModelWriter, scores: string, id: string, x: string) => string): Layer =>
  (m, x, id) => {
    const heads = (n: string, perm: number[]) => {
      const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
      return m.op('Transpose', [split], { perm });
    };
    const product = m.op('MatMul', [heads('q', [0, 2, 1, 3]), heads('k', [0, 2, 3, 1])]);
    const scores = m.op('Mul', [product, m.floats(`scale${id}`, [0.3], [])]);
    const context = m.op('MatMul', [normalise(m, scores, id, x), heads('v', [0, 2, 1, 3])]);
    const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
    return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
  };

const sum = (m: ModelWriter, x: string, id: string) =>
  m.op('ReduceSum', [x, m.ints(`last${id}`, [-1])], { keepdims: 1 });
const shifted = (m: ModelWriter, s: string) =>
  m.op('Sub', [s, m.op('ReduceMax', [s], { axes: [-1], keepdims: 1 })]);

const WRITTEN: Record<string, { layer: Layer; mask: string }> = {
  'exp over its sum': {
    layer: normalised((m, s, id) => {
      const e = m.op('Exp', [s]);
      return m.op('Div', [e, sum(m, e, id)]);
    }),
    mask: 'full',
  },
  'exp of what is left of the largest, times one over the sum and a little': {
    layer: normalised((m, s, id) => {
      const e = m.op('Exp', [shifted(m, s)]);
      const total = m.op('Add', [sum(m, e, id), m.floats(`eps${id}`, [1e-9], [])]);
      return m.op('Mul', [e, m.op('Reciprocal', [total])]);
    }),
    mask: 'full',
  },
  'exp of a log-softmax': {
    layer: normalised((m, s) => m.op('Exp', [m.op('LogSoftmax', [s], { axis: -1 })])),
    mask: 'full',
  },
  'exp less the log of the sum of exp': {
    layer: normalised((m, s) =>
      m.op('Exp', [m.op('Sub', [s, m.op('ReduceLogSumExp', [s], { axes: [-1], keepdims: 1 })])]),
    ),
    mask: 'full',
  },
  'a softmax times a ramp of distances, over the sum of both (adaptive span)': {
    layer: normalised((m, s, id, x) => {
      const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`one${id}`, [1], [])], { axis: 0 });
      const range = m.op('Range', [m.ints(`zero${id}`, [0], []), count, m.ints(`by${id}`, [1], [])]);
      const at = (dims: number[], n: string) =>
        m.op('Reshape', [m.op('Cast', [range], { to: 1 }), m.ints(n + id, dims)]);
      const distance = m.op('Abs', [m.op('Sub', [at([-1, 1], 'r'), at([1, -1], 'c')])]);
      const spans = m.floats(`span${id}`, [3, 9, 20, 60], [HEADS, 1, 1]);
      const ramp = m.op('Div', [m.op('Sub', [spans, distance]), m.floats(`ramp${id}`, [4], [])]);
      const soft = m.op('Clip', [ramp, m.floats(`no${id}`, [0], []), m.floats(`yes${id}`, [1], [])]);
      // So that every query has mass within its span.
      const flat = m.op('Mul', [s, m.floats(`flat${id}`, [0.1], [])]);
      const masked = m.op('Mul', [m.op('Softmax', [flat], { axis: -1 }), soft]);
      const total = m.op('Add', [sum(m, masked, id), m.floats(`eps${id}`, [1e-8], [])]);
      return m.op('Div', [masked, total]);
    }),
    mask: "full, bias computed by the model's graph",
  },
};

describe('softmaxes in other forms', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const [name, { layer, mask }] of Object.entries(WRITTEN))
    it(name, async () => {
      const cut = await bench.load(layered(layer));
      assert.equal(cut.info.cores.length, 2);
      assert.equal(cut.info.cores[0]!.mask, mask);
      await assertReproduces(cut);
      await cut.dispose();
    });

  const standard =
    (inputs: (m: ModelWriter, id: string) => string[], attributes: Record<string, number> = {}): Layer =>
    (m, x, id) => {
      const heads = (n: string) => {
        const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
        return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
      };
      const outputs = [`y${id}`, `pk${id}`, `pv${id}`];
      const all = [heads('q'), heads('k'), heads('v'), '', ...inputs(m, id)];
      const [out] = m.ops('Attention', all, all.length > 6 ? outputs.slice(0, 1) : outputs, attributes);
      const back = m.op('Transpose', [out!], { perm: [0, 2, 1, 3] });
      return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
    };
  const past = (m: ModelWriter, id: string) =>
    ['key', 'value'].map(n =>
      m.input(`past_key_values.${id}.${n}`, 'float32', ['batch', HEADS, 'past', DIM]),
    );

  it('Attention with past keys and values: none', async () => {
    const cut = await bench.load(layered(standard(past, { is_causal: 1 }), { '': 23 }));
    assert.equal(cut.info.cores[0]!.mask, 'causal');
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('Attention that is told how many keys there are', async () => {
    const counts = (m: ModelWriter, id: string) => [
      '',
      '',
      m.op('Shape', ['input_ids'], { start: 1 }, `n${id}`),
    ];
    const cut = await bench.load(layered(standard(counts), { '': 24 }));
    assert.equal(cut.info.cores[0]!.mask, 'full');
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('a causal Attention over another text counts from the first query', async () => {
    const m = new ModelWriter({ '': 23 });
    m.input('input_ids', 'int64', ['batch', 'sequence']);
    m.input('decoder_input_ids', 'int64', ['batch', 'target']);
    m.weight('table', [VOCABULARY, WIDTH], 1);
    const [text, target] = ['input_ids', 'decoder_input_ids'].map(n => m.op('Gather', ['table', n])) as [
      string,
      string,
    ];
    const y = m.op('Attention', [linear(m, target, 'q'), linear(m, text, 'k'), linear(m, text, 'v')], {
      is_causal: 1,
      q_num_heads: HEADS,
      kv_num_heads: HEADS,
    });
    m.op('MatMul', [y, m.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
    m.output('logits');
    const cut = await bench.load(m);
    for (const [n, t] of [
      [9, 21],
      [30, 8],
    ] as const) {
      const ids = Int32Array.from({ length: n }, (_, i) => i % 40);
      const targetIds = Int32Array.from({ length: t }, (_, i) => (3 * i) % 40);
      const expected = floats(await cut.runUncut(ids, targetIds));
      const output = await cut.run(ids, async (_, i) => referenceAttend(i), {
        signal: neverCancelled,
        targetIds,
      });
      const found = await output.read(0, t);
      assert.ok(found.every((v, i) => Math.abs(v - expected[i]!) < 1e-4));
    }
    await cut.dispose();
  });

  it('a model of 64 bits', async () => {
    const m = layered(normalised((m, s) => m.op('Softmax', [s], { axis: -1 })));
    const own = m.nodes.splice(0);
    const weights = m.initializers.filter(t => t.data_type === ElementType.float32);
    const wide = new Map(
      weights.map(t => [t.name!, m.op('Cast', [t.name!], { to: ElementType.float64 }, `${t.name}:64`)]),
    );
    for (const node of own) node.input = node.input!.map(name => wide.get(name) ?? name);
    m.nodes.push(...own);
    m.outputs.length = 0;
    m.output('logits', 'float64');
    const cut = await bench.load(m);
    await assertReproduces(cut);
    await cut.dispose();
  });
});
