import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { RefusedError } from '../../engine/errors';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { loadModel } from '../../engine/model/load';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { AttributeType, decodeModel, encodeModel } from '../../engine/runtime/onnxProto';
import { assertReproduces, Bench, DIM, HEADS, layered, linear, WIDTH, type Layer } from './cutHarness';

const LOCAL = 'local';

const node = (op_type: string, input: string[], output: string, attribute: object[] = [], domain = '') => ({
  op_type,
  domain,
  input,
  output: [output],
  attribute,
});
const refers = (name: string, ref_attr_name: string, type: number) => ({ name, ref_attr_name, type });

/** scores = factor * Q K^T; `factor` is an attribute with a default. */
const scores = {
  name: 'Scores',
  domain: LOCAL,
  input: ['q', 'k'],
  output: ['s'],
  attribute_proto: [{ name: 'factor', type: AttributeType.float, f: 0.25 }],
  opset_import: [{ domain: '', version: 17 }],
  node: [
    node('Transpose', ['k'], 't', [{ name: 'perm', type: AttributeType.ints, ints: [0, 1, 3, 2] }]),
    node('MatMul', ['q', 't'], 'product'),
    node('Constant', [], 'c', [refers('value_float', 'factor', AttributeType.float)]),
    node('Mul', ['product', 'c'], 's'),
  ],
};
/** The core, with the scores from the function above; gives its values out again. */
const attend = {
  name: 'Attend',
  domain: LOCAL,
  input: ['q', 'k', 'v'],
  output: ['context', 'values'],
  attribute: ['factor', 'axis'],
  opset_import: [
    { domain: '', version: 17 },
    { domain: LOCAL, version: 1 },
  ],
  node: [
    node('Scores', ['q', 'k'], 's', [refers('factor', 'factor', AttributeType.float)], LOCAL),
    node('Softmax', ['s'], 'p', [refers('axis', 'axis', AttributeType.int)]),
    node('MatMul', ['p', 'v'], 'context'),
    node('Identity', ['v'], 'values'),
  ],
};

const layer: Layer = (m, x, id) => {
  const parts = ['q', 'k', 'v'].map(n => {
    const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
    return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
  });
  // The first layer takes the default factor, the second one its own.
  const attributes = { axis: -1, ...(id === 'b' ? { factor: { float: 0.5 } } : {}) };
  const [context, values] = m.ops('Attend', parts, [`context${id}`, `values${id}`], attributes, LOCAL);
  const both = m.op('Add', [context!, values!]);
  const back = m.op('Transpose', [both], { perm: [0, 2, 1, 3] });
  return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
};

describe('functions of a model', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  async function load(functions: object[]): Promise<CutModel> {
    const model = decodeModel(layered(layer, { '': 17, [LOCAL]: 1 }).encode());
    const onnx = bench.path('functions.onnx');
    writeFileSync(onnx, encodeModel({ ...model, functions } as never));
    const files = { onnx, config: {}, name: 'test', ref: onnx };
    return loadModel(files, bench.runtime, { signal: neverCancelled });
  }

  const refused = (functions: object[], message: RegExp) =>
    assert.rejects(load(functions), (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      assert.match(error.message, message);
      return true;
    });

  it('are written out: nested, with attributes and defaults', async () => {
    const cut = await load([scores, attend]);
    assert.deepEqual(
      cut.info.cores.map(c => [c.mask, c.heads]),
      [
        ['full', HEADS],
        ['full', HEADS],
      ],
    );
    assert.equal(cut.info.verified.bitEqual, true);
    // Against the file as it is, whose functions ONNX Runtime writes out itself.
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('are refused when they call themselves or are of another operator version', async () => {
    const again = { ...scores, node: [node('Scores', ['q', 'k'], 's', [], LOCAL)] };
    await refused([again, attend], /function Scores calls itself/);
    const newer = { ...scores, opset_import: [{ domain: '', version: 18 }] };
    await refused([newer, attend], /function Scores is written for another version/);
  });

  it('are refused when their calls go deeper than any exporter makes them', async () => {
    const calls = (name: string) => ({ ...scores, node: [node(name, ['q', 'k'], 's', [], LOCAL)] });
    const chain = Array.from({ length: 5000 }, (_, f) => ({ ...calls(`F${f + 1}`), name: `F${f}` }));
    await refused([calls('F0'), ...chain, attend], /call each other more than 64 deep/);
  });
});
