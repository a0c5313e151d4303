import { ElementType } from '../../runtime/onnxProto';
import { CUT_DOMAIN } from './cutGraph';
import { contentOf } from './findCores';
import type { Graph } from '../onnx/graph';
import { attribute, floatAttribute, type GraphNode } from '../onnx/node';

/** Operators that ONNX Runtime computes in float64 on the CPU as well; the others of a graph stay in float32. */
const WIDE = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Pow',
  'Sqrt',
  'Neg',
  'Abs',
  'Exp',
  'Relu',
  'Sigmoid',
  'Tanh',
  'Reciprocal',
  'MatMul',
  'Gemm',
  'ReduceMean',
  'ReduceSum',
  'LayerNormalization',
  'SimplifiedLayerNormalization',
  'Softmax',
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Expand',
  'Slice',
  'Split',
  'Concat',
  'Gather',
  'Identity',
]);

/**
 * The cut graph with everything that depends on the text in float64, from the embedding to the last projection; for models
 * that amplify rounding. What the cores take and give stays float32, and so do positions and masks, which may jump (bucketed
 * distances). `head`: what is read by the last projection, which amplifies nothing any more.
 */
export function widened(graph: Graph, ids: readonly string[], head: string | null): Graph {
  const wide = graph.clone();
  writeOutSkips(wide);
  graph = wide.clone();
  const content = contentOf(graph, ids);
  const after = graph.reachable(head === null ? [] : [head]);
  const isFloat = (name: string) => name !== '' && graph.type(name) === ElementType.float32;
  const twins = new Set<string>();
  const nodes: GraphNode[] = [];
  const cast = (input: string, output: string, to: number) =>
    nodes.push({
      op: 'Cast',
      domain: '',
      inputs: [input],
      outputs: [output],
      attributes: [attribute.int('to', to)],
      captures: [],
    });
  const twin = (name: string) => {
    const wideName = `${name}:float64`;
    if (!twins.has(name)) {
      twins.add(name);
      cast(name, wideName, ElementType.float64);
    }
    return wideName;
  };
  for (const node of graph.nodes) {
    const [output] = node.outputs;
    // Rows of a table are exact as they are.
    const lookup = node.op === 'Gather' && graph.initializers.has(node.inputs[0]!);
    const widens =
      node.domain === '' &&
      WIDE.has(node.op) &&
      !lookup &&
      isFloat(output!) &&
      content.has(output!) &&
      !after.has(output!);
    if (!widens) {
      nodes.push(node);
      continue;
    }
    nodes.push({
      ...node,
      inputs: node.inputs.map(name => (isFloat(name) ? twin(name) : name)),
      outputs: node.outputs.map(name => (name === '' ? name : `${name}:float64`)),
    });
    for (const name of node.outputs) {
      if (name === '') continue;
      twins.add(name);
      cast(`${name}:float64`, name, ElementType.float32);
    }
  }
  wide.setNodes(nodes);
  return wide;
}

/** Sum and normalisation in one node exist in float32 only: as two nodes. */
function writeOutSkips(graph: Graph): void {
  const written: GraphNode[] = [];
  const nodes = graph.nodes.flatMap((node, at) => {
    const simplified = node.op === 'SkipSimplifiedLayerNormalization';
    if (node.domain !== 'com.microsoft' || !(simplified || node.op === 'SkipLayerNormalization'))
      return [node];
    const [x, skip, gamma] = node.inputs;
    const beta = simplified ? '' : (node.inputs[3] ?? '');
    const bias = node.inputs[simplified ? 3 : 4] ?? '';
    const sum = node.outputs[3] || `cut:skip:${at}`;
    const op = simplified ? 'SimplifiedLayerNormalization' : 'LayerNormalization';
    const plain = { domain: '', attributes: [], captures: [] };
    const first = bias === '' ? sum : `cut:skip:${at}:unbiased`;
    const parts: GraphNode[] = [{ ...plain, op: 'Add', inputs: [x!, skip!], outputs: [first] }];
    if (bias !== '') parts.push({ ...plain, op: 'Add', inputs: [first, bias], outputs: [sum] });
    const attributes = [
      attribute.float('epsilon', floatAttribute(node, 'epsilon', 1e-12)),
      attribute.int('axis', -1),
    ];
    const inputs = beta === '' ? [sum, gamma!] : [sum, gamma!, beta];
    parts.push({ ...plain, op, inputs, attributes, outputs: [node.outputs[0]!] });
    written.push(...parts);
    return parts;
  });
  if (written.length > 0) graph.setNodes(nodes);
}

/** Bytes that the weights of the graph take in float64. */
export function widenedBytes(graph: Graph): number {
  const read = new Set(graph.nodes.filter(n => n.domain !== CUT_DOMAIN).flatMap(n => n.inputs));
  let bytes = 0;
  for (const [name, { dims, data_type }] of graph.initializers)
    if (read.has(name) && data_type === ElementType.float32)
      bytes += 8 * (dims ?? []).reduce<number>((product, d) => product * Number(d), 1);
  return bytes;
}
