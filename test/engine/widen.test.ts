import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { makeFeeds } from '../../engine/model/cut/feeds';
import type { Graph } from '../../engine/model/onnx/graph';
import { PieceLoader } from '../../engine/model/cut/pieces';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { widened } from '../../engine/model/cut/widen';
import { ElementType } from '../../engine/runtime/onnxProto';
import { floats } from '../../engine/runtime/tensor';
import { Bench, DIM, HEADS, layered, linear, WIDTH, type Layer } from './cutHarness';

const MS = 'com.microsoft';

/** Attention with large scores and no scale, between normalisations of sums, as ONNX Runtime's optimiser leaves T5. */
const unscaled: Layer = (m, x, id) => {
  const parts = ['q', 'k', 'v'].map(n => {
    const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
    return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  });
  const turned = m.op('Transpose', [parts[1]!], { perm: [0, 1, 3, 2] });
  const scores = m.op('MatMul', [parts[0]!, turned]);
  const context = m.op('MatMul', [m.op('Softmax', [scores], { axis: -1 }), parts[2]!]);
  const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
  const joined = m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
  const gamma = m.floats(`gamma${id}`, new Float32Array(WIDTH).fill(2));
  const outputs = [`normal${id}`, '', '', `sum${id}`];
  const inputs = [x, joined, gamma];
  if (id === 'b') inputs.push(m.weight(`bias${id}`, [WIDTH]));
  const epsilon = { epsilon: { float: 1e-6 } };
  m.ops('SkipSimplifiedLayerNormalization', inputs, outputs, epsilon, MS);
  const beta = m.weight(`beta${id}`, [WIDTH]);
  return m.op('SkipLayerNormalization', [`normal${id}`, `sum${id}`, gamma, beta], epsilon, undefined, MS);
};

describe('models that amplify rounding', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  it('are written in float64 from the embedding to the output', async () => {
    const file = bench.path('unscaled.onnx');
    writeFileSync(file, layered(unscaled).encode());
    const graph = graphOf(readSkeleton(file).model);
    const wide = widened(graph, ['input_ids'], null);
    const products = wide.nodes.filter(n => n.op === 'MatMul');
    assert.equal(products.length, 11);
    for (const node of products) assert.equal(wide.type(node.outputs[0]!), ElementType.float64);
    assert.ok(wide.nodes.every(n => n.domain !== MS));
    const [narrow, exact] = [await outputOf(graph), await outputOf(wide)];
    const worst = exact.reduce((a, v, i) => Math.max(a, Math.abs(v - narrow[i]!)), 0);
    const scale = exact.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    assert.ok(worst > 0 && worst <= 1e-4 * scale, `${worst} of ${scale}`);
  });

  async function outputOf(graph: Graph): Promise<Float32Array> {
    const loader = new PieceLoader(bench.runtime, bench.path(''), 'basic', true);
    const piece = await loader.load(graph.extract([graph.output], () => false));
    const feeds = makeFeeds(graph, { ids: Int32Array.from({ length: 40 }, (_, i) => i), target: null });
    const results = await piece.run(name => feeds[name]);
    await loader.release();
    return floats(results.get(graph.output)!);
  }

  it('others stay in float32', async () => {
    const layer: Layer = (m, x, id) => {
      const parts = ['q', 'k', 'v'].map(n => linear(m, x, n + id));
      return m.op('MultiHeadAttention', parts, { num_heads: HEADS }, undefined, MS);
    };
    const cut = await bench.load(layered(layer));
    assert.doesNotMatch(cut.info.verified.reference, /float64/);
    await cut.dispose();
  });
});
