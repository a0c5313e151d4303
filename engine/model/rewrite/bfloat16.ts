import { ElementType, type AttributeProto, type Partially } from '../../runtime/onnxProto';
import type { Graph } from '../onnx/graph';
import { attribute, type GraphNode } from '../onnx/node';

const { bfloat16, float32 } = ElementType;

/**
 * ONNX Runtime stores bfloat16 on the CPU and does not compute with it: the graph in float32, its weights left where they
 * lie and cast when they are read. True when the file itself cannot be run, since it computes in bfloat16.
 */
export function widenBfloat16(graph: Graph): boolean {
  const isNarrow = (name: string) => name !== '' && graph.type(name) === bfloat16;
  const narrow = graph.nodes.filter(n => [...n.inputs, ...n.outputs].some(isNarrow));
  const weights = [...graph.initializers].filter(([, tensor]) => tensor.data_type === bfloat16);
  const inputs = graph.inputs.filter(input => input.type === bfloat16);
  if (narrow.length + weights.length + inputs.length === 0) return false;
  const nodes = graph.nodes.map(widened);
  for (const [name, tensor] of weights) {
    graph.initializers.delete(name);
    graph.initializers.set(`${name}:bfloat16`, { ...tensor, name: `${name}:bfloat16` });
    nodes.push({
      op: 'Cast',
      domain: '',
      inputs: [`${name}:bfloat16`],
      outputs: [name],
      attributes: [attribute.int('to', float32)],
      captures: [],
    });
  }
  for (const input of inputs) input.type = float32;
  graph.setNodes(nodes);
  return narrow.some(n => n.op !== 'Cast') || inputs.length > 0;
}

function widened(node: GraphNode): GraphNode {
  return { ...node, attributes: node.attributes.map(widenedAttribute) };
}

function widenedAttribute(a: Partially<AttributeProto>): Partially<AttributeProto> {
  if ((a.name === 'to' || a.name === 'dtype') && Number(a.i ?? 0) === bfloat16) return { ...a, i: float32 };
  const tensor = a.t;
  if (tensor?.data_type !== bfloat16) return a;
  // The bits of a bfloat16 are the upper half of a float32's.
  const bits = tensor.raw_data?.length
    ? new Uint16Array(new Uint8Array(tensor.raw_data).buffer)
    : Uint16Array.from(tensor.int32_data ?? []);
  const wide = Uint32Array.from(bits, b => b * 2 ** 16);
  return {
    ...a,
    t: { dims: tensor.dims ?? [], data_type: float32, raw_data: new Uint8Array(wide.buffer) },
  };
}
