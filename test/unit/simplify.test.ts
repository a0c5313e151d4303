import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { reads } from '../../engine/model/onnx/node';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { simplify } from '../../engine/model/rewrite/simplify';
import { AttributeType, decodeModel } from '../../engine/runtime/onnxProto';
import { plainModel } from '../fixtures/onnxModels';

describe('equal tensors that bodies read', () => {
  it('are merged, and the bodies find them under their names, however many they are', () => {
    const model = plainModel();
    const relu = model.nodes.find(({ op_type }) => op_type === 'Relu')!;
    const product = model.nodes.find(({ op_type }) => op_type === 'MatMul')!;
    const condition = model.op('Cast', ['input_ids'], { to: 9 });
    let last = relu.output![0]!;
    for (let i = 0; i < 4000; i++) {
      const same = model.floats(`same${i}`, [0.5]);
      const body = (op_type: string) => ({
        name: 'body',
        node: [{ op_type, input: [last, same], output: [`${op_type}${i}`] }],
        output: [{ name: `${op_type}${i}` }],
      });
      model.nodes.push({
        op_type: 'If',
        input: [condition],
        output: [`if${i}`],
        attribute: [
          { name: 'then_branch', type: AttributeType.graph, g: body('Add') },
          { name: 'else_branch', type: AttributeType.graph, g: body('Mul') },
        ],
      });
      last = `if${i}`;
    }
    product.input![0] = last;
    const graph = graphOf(decodeModel(model.encode()));
    simplify(graph, tmpdir());
    const made = new Set(graph.nodes.flatMap(n => n.outputs));
    const given = (name: string) => made.has(name) || graph.initializers.has(name) || graph.isInput(name);
    assert.deepEqual(
      graph.nodes.flatMap(reads).filter(name => !given(name)),
      [],
    );
    assert.equal([...graph.initializers.keys()].filter(name => name.startsWith('same')).length, 1);
  });
});
