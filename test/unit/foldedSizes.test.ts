import assert from 'node:assert/strict';
import { RefusedError } from '../../engine/errors';
import { refuseGrowth } from '../../engine/model/onnx/foldedSizes';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { ElementType, decodeModel } from '../../engine/runtime/onnxProto';
import { plainModel, type ModelWriter } from '../fixtures/onnxModels';

const MIB = 2 ** 20;

/** The plain model with more nodes, which nothing of it reads. */
function withNodes(add: (model: ModelWriter) => void) {
  const model = plainModel();
  add(model);
  return graphOf(decodeModel(model.encode()));
}

describe('constants that grow', () => {
  const cases: [string, (m: ModelWriter) => void, mebibytes: number][] = [
    ['ConstantOfShape', m => m.op('ConstantOfShape', [m.ints('shape', [1024, 1024, 3])]), 12],
    [
      'Range',
      m => m.op('Range', [m.ints('from', [0], []), m.ints('to', [2 * MIB], []), m.ints('step', [2], [])]),
      8,
    ],
    ['Expand', m => m.op('Expand', [m.weight('row', [1, 1024]), m.ints('shape', [5, 1024, 1])]), 20],
    ['Tile', m => m.op('Tile', [m.weight('row', [1024]), m.ints('repeats', [4096])]), 16],
    ['Pad', m => m.op('Pad', [m.weight('row', [1024]), m.ints('pads', [0, 2 * MIB - 1024])]), 8],
    [
      'a tensor joined to itself over and over',
      m => {
        let last = m.weight('one', [1024]);
        for (let i = 0; i < 10; i++) last = m.op('Concat', [last, last], { axis: 0 }, `twice${i}`);
      },
      8,
    ],
    ['rows and columns', m => m.op('Add', [m.weight('row', [1, 2048]), m.weight('column', [1024, 1])]), 8],
    ['their product', m => m.op('MatMul', [m.weight('column', [1024, 1]), m.weight('row', [1, 2048])]), 8],
    [
      'a computed shape',
      m => {
        const two = m.op('Concat', [m.ints('a', [1024]), m.ints('b', [512])], { axis: 0 });
        const large = m.op('Mul', [m.op('Unsqueeze', [two, m.ints('axes', [0])]), m.ints('four', [4])]);
        const picked = m.op('Gather', [m.op('Squeeze', [large]), m.ints('which', [0, 1])], { axis: 0 });
        m.op('ConstantOfShape', [picked]);
      },
      32,
    ],
    [
      'what is computed of it',
      m => {
        const made = m.op('ConstantOfShape', [m.ints('shape', [MIB])]);
        m.op('Cast', [m.op('Neg', [made])], { to: ElementType.float64 });
      },
      16,
    ],
  ];
  for (const [name, add, mebibytes] of cases)
    it(`are refused before they are computed: ${name}`, () => {
      const graph = withNodes(add);
      refuseGrowth(graph, (mebibytes + 1) * MIB);
      assert.throws(
        () => refuseGrowth(graph, (mebibytes - 1) * MIB),
        (error: Error) =>
          error instanceof RefusedError &&
          new RegExp(`would take about ${mebibytes}(?:|${mebibytes + 1}) MiB`).test(error.message),
      );
    });

  it('are not what only changes the form of weights', () => {
    const graph = withNodes(m => {
      const weight = m.weight('weight', [512, 512]);
      const turned = m.op('Transpose', [weight], { perm: [1, 0] });
      const flat = m.op('Reshape', [turned, m.ints('flat', [-1])]);
      m.op('Cast', [m.op('Concat', [flat, m.weight('other', [512])], { axis: 0 })], { to: 11 });
    });
    refuseGrowth(graph, 0);
  });

  it('are not what hangs on the text', () => {
    const graph = withNodes(m => m.op('ConstantOfShape', [m.op('Shape', ['input_ids'])]));
    refuseGrowth(graph, 0);
  });
});
