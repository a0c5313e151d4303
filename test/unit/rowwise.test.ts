import assert from 'node:assert/strict';
import { rowReads } from '../../engine/model/cut/rowwise';
import type { TokenAxis } from '../../engine/model/cut/tokenAxes';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { attribute, type GraphNode } from '../../engine/model/onnx/node';
import { ElementType } from '../../engine/runtime/onnxProto';

/** Of a text of 9 tokens: 9 in a shape stands for them. */
const axesOf = (shapes: Record<string, number[]>) =>
  new Map(
    Object.entries(shapes).map(([name, dims]): [string, TokenAxis] => {
      const axis = dims.indexOf(9);
      const size = dims.reduce((a, b) => a * b, 1);
      return [name, { axis: axis < 0 ? null : axis, input: 0, dims, width: axis < 0 ? size : size / 9 }];
    }),
  );

describe('operators that keep rows apart', () => {
  const graph = graphOf({
    ir_version: 8,
    opset_import: [{ domain: '', version: 18 }],
    graph: {
      name: 'g',
      node: [],
      initializer: [
        { name: 'last', dims: [1], data_type: ElementType.int64, int64_data: [-1] },
        { name: 'first', dims: [1], data_type: ElementType.int64, int64_data: [1] },
        { name: 'zero', dims: [1], data_type: ElementType.int64, int64_data: [0] },
        { name: 'two', dims: [1], data_type: ElementType.int64, int64_data: [2] },
      ],
      input: [{ name: 'x', type: { tensor_type: { elem_type: 1 } } }],
      output: [{ name: 'x', type: { tensor_type: { elem_type: 1 } } }],
    },
  } as never);
  const reads = (
    op: string,
    inputs: Record<string, number[]>,
    output: number[],
    attributes: GraphNode['attributes'] = [],
  ) =>
    rowReads(
      { op, domain: '', inputs: Object.keys(inputs), outputs: ['y'], attributes, captures: [] },
      graph,
      axesOf({ ...inputs, y: output }),
    );

  it('rows are kept', () => {
    const kept: Parameters<typeof reads>[] = [
      ['Add', { x: [1, 9, 4], b: [4] }, [1, 9, 4]],
      ['Mul', { x: [1, 3, 9, 4], rotary: [9, 4] }, [1, 3, 9, 4]],
      ['MatMul', { x: [1, 9, 4], w: [4, 6] }, [1, 9, 6]],
      ['MatMul', { w: [6, 4], x: [4, 9] }, [6, 9]],
      ['Gemm', { x: [9, 4], w: [4, 6], b: [6] }, [9, 6]],
      ['LayerNormalization', { x: [1, 9, 4], scale: [4] }, [1, 9, 4]],
      ['Reshape', { x: [1, 9, 12], shape: [4] }, [1, 9, 3, 4]],
      ['Transpose', { x: [1, 9, 3, 4] }, [1, 3, 9, 4], [attribute.ints('perm', [0, 2, 1, 3])]],
      ['Gather', { table: [50, 4], ids: [1, 9] }, [1, 9, 4]],
      ['ReduceMean', { x: [1, 9, 4], last: [1] }, [1, 9, 1]],
      ['Slice', { x: [1, 9, 4], zero: [1], two: [1], last: [1] }, [1, 9, 2]],
    ];
    for (const one of kept) assert.ok(reads(...one), one[0]);
  });

  it('rows are mixed', () => {
    const mixed: Parameters<typeof reads>[] = [
      ['Add', { x: [1, 9, 4], turned: [1, 4, 9] }, [1, 9, 4]],
      ['MatMul', { w: [6, 9], x: [9, 4] }, [6, 4]],
      ['MatMul', { x: [1, 4, 9], y0: [1, 9, 4] }, [1, 4, 4]],
      ['Gemm', { x: [4, 9], w: [4, 6] }, [9, 6], [attribute.int('transA', 1)]],
      ['CumSum', { x: [1, 9, 4], first: [1] }, [1, 9, 4]],
      ['Conv', { x: [1, 4, 9], w: [4, 4, 3] }, [1, 4, 9]],
      ['ReduceMean', { x: [1, 9, 4], first: [1] }, [1, 1, 4]],
      ['Softmax', { x: [1, 4, 9] }, [1, 4, 9]],
      ['LayerNormalization', { x: [1, 4, 9], scale: [4] }, [1, 4, 9]],
      ['Reshape', { x: [3, 9, 4], shape: [2] }, [9, 12]],
      ['Transpose', { x: [9, 1, 4] }, [1, 9, 4], [attribute.ints('perm', [0, 1, 2])]],
      ['Slice', { x: [1, 9, 4], zero: [1], two: [1], first: [1] }, [1, 2, 4]],
      ['Concat', { x: [9, 4], b: [1, 4] }, [9, 4], [attribute.int('axis', 0)]],
      ['DynamicQuantizeLinear', { x: [1, 9, 4] }, [1, 9, 4]],
    ];
    for (const one of mixed) assert.equal(reads(...one), null, one[0]);
  });

  it('a shape that is read is no row', () => {
    assert.deepEqual(reads('Expand', { x: [1, 1, 4], shape: [3] }, [1, 9, 4]), {
      values: ['x'],
      shapes: ['shape'],
    });
  });
});
