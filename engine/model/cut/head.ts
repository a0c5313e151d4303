import { ElementType } from '../../runtime/onnxProto';
import { CUT_DOMAIN } from './cutGraph';
import type { Graph } from '../onnx/graph';
import { attribute, intAttribute, intsAttribute, type GraphNode } from '../onnx/node';

/** The head of the model in a piece of its own, to be run on blocks of rows. */
export interface HeadCut {
  /** [rows, hidden], made by the last segment. */
  hidden: string;
  /** The head's own input. */
  rows: string;
  hiddenSize: number;
  /** The head's weights are the embedding table: left where they lie, so that they are resident once. */
  tied: boolean;
  /** Of tied weights: the rows that the model looks up in the table, where it does so once. */
  lookup: string | null;
}

const ROWWISE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Tanh', 'Cast', 'Identity']);

/**
 * Cuts before the last projection (weights times hidden rows, then at most elementwise steps with constants), so that
 * logits can be computed for blocks of rows. Null when the end of the graph is of another form.
 */
export function cutHead(graph: Graph): HeadCut | null {
  const constants = graph.constants();
  const after: GraphNode[] = [];
  let name = graph.output;
  for (let steps = 0; steps < 12; steps++) {
    const node = graph.producer(name);
    if (!node || (name !== graph.output && graph.consumers(name).length !== 1)) return null;
    const weight = projection(node, constants);
    if (weight) return splitAt(graph, node, weight, after);
    const [first, second] = node.inputs;
    const reshape =
      node.op === 'Reshape' || node.op === 'Flatten' || node.op === 'Squeeze' || node.op === 'Unsqueeze';
    if (reshape) name = first!;
    else if (ROWWISE.has(node.op) && (!second || constants.has(second))) name = first!;
    else if (ROWWISE.has(node.op) && second && constants.has(first!)) name = second;
    else return null;
    after.push(node);
  }
  return null;
}

function projection(node: GraphNode, constants: Set<string>): string | null {
  if (node.op === 'MatMul' && constants.has(node.inputs[1]!)) return node.inputs[1]!;
  if (node.op === 'Gemm' && constants.has(node.inputs[1]!) && intAttribute(node, 'transA', 0) === 0)
    return node.inputs[1]!;
  if (node.op === 'MatMulNBits') return node.inputs[1]!;
  return null;
}

function splitAt(graph: Graph, node: GraphNode, weight: string, after: GraphNode[]): HeadCut | null {
  const hiddenSize = inputSize(graph, node, weight);
  const type = graph.type(node.inputs[0]!);
  if (hiddenSize === null || !(type === ElementType.float32 || type === ElementType.float16)) return null;
  const hidden = 'cut:head:hidden';
  const rows = 'cut:head:rows';
  // The shapes around the projection only move the batch axis; rows come as [rows, hidden].
  const skipped = new Set(after.filter(n => ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'].includes(n.op)));
  const bypass = new Map([...skipped].map(n => [n.outputs[0]!, n.inputs[0]!]));
  const resolve = (name: string): string => (bypass.has(name) ? resolve(bypass.get(name)!) : name);
  if (skipped.has(graph.producer(graph.output)!)) graph.output = resolve(graph.output);
  // Rows travel in 32 bits.
  const half = type === ElementType.float16;
  const cast = (name: string, to: number) =>
    half ? graph.op('Cast', [name], [attribute.int('to', to)]) : name;
  const flat = cast(node.inputs[0]!, ElementType.float32);
  graph.op('Reshape', [flat, graph.ints([-1, hiddenSize])], [], hidden);
  graph.add({
    op: 'HeadRows',
    domain: CUT_DOMAIN,
    inputs: [hidden],
    outputs: [rows],
    attributes: [],
    captures: [],
  });
  const given = cast(rows, ElementType.float16);
  const moved = onTransposed(graph, { ...node, inputs: [given, ...node.inputs.slice(1)] });
  graph.setNodes(
    graph.nodes
      .filter(n => !skipped.has(n))
      .map(n => {
        if (n === node) return moved;
        return after.includes(n) ? { ...n, inputs: n.inputs.map(resolve) } : n;
      }),
  );
  const others = graph
    .consumers(moved.inputs[1]!)
    .filter(n => n !== moved && n.outputs.some(o => graph.consumers(o).length > 0));
  const tied = moved.op !== 'MatMulNBits' && others.length > 0;
  const lookup = tied && others.length === 1 && isLookup(others[0]!, moved.inputs[1]!);
  return { hidden, rows, hiddenSize, tied, lookup: lookup ? others[0]!.outputs[0]! : null };
}

function isLookup(node: GraphNode, table: string): boolean {
  return node.op === 'Gather' && node.inputs[0] === table && intAttribute(node, 'axis', 0) === 0;
}

/** A product with a transposed table (tied embeddings) reads the table as it lies, instead of keeping a second, turned one. */
function onTransposed(graph: Graph, node: GraphNode): GraphNode {
  const made = node.op === 'MatMul' ? graph.producer(node.inputs[1]!) : undefined;
  const turned = made?.op === 'Transpose' && (intsAttribute(made, 'perm') ?? [1, 0]).join() === '1,0';
  if (!turned || graph.initializers.get(made.inputs[0]!)?.dims?.length !== 2) return node;
  return {
    ...node,
    op: 'Gemm',
    inputs: [node.inputs[0]!, made.inputs[0]!],
    attributes: [attribute.int('transB', 1)],
  };
}

function inputSize(graph: Graph, node: GraphNode, weight: string): number | null {
  if (node.op === 'MatMulNBits') return intAttribute(node, 'K', 0) || null;
  let transposed = node.op === 'Gemm' && intAttribute(node, 'transB', 0) === 1;
  let name = weight;
  // Weights may be dequantised, cast or transposed on their way.
  while (!graph.initializers.has(name)) {
    const made = graph.producer(name);
    if (!made || !['Transpose', 'DequantizeLinear', 'Cast', 'Identity'].includes(made.op)) return null;
    if (made.op === 'Transpose') transposed = !transposed;
    name = made.inputs[0]!;
  }
  const dims = graph.initializers.get(name)!.dims?.map(Number);
  if (!dims || dims.length !== 2) return null;
  return dims[transposed ? 1 : 0]!;
}
