import { ElementType } from '../../runtime/onnxProto';
import type { Graph } from '../onnx/graph';
import { attribute, floatAttribute, intAttribute, type GraphNode } from '../onnx/node';

/**
 * FusedMatMul (domain com.microsoft): a product with turned operands and a factor, as ONNX Runtime's optimiser writes
 * it into the models that it saves. Products of two activations are written out, so that those of attention are found.
 */
export function fusedProducts(graph: Graph): GraphNode[] {
  const constants = graph.constants();
  return graph.nodes.filter(n => n.op === 'FusedMatMul' && !n.inputs.some(i => constants.has(i)));
}

/** `dims`: the shape of every input of `nodes`. */
export function writeOutProducts(
  graph: Graph,
  nodes: GraphNode[],
  dims: (name: string) => readonly number[],
): void {
  const replaced = new Set(nodes);
  const types = new Map(nodes.map(n => [n, graph.type(n.inputs[0]!)] as const));
  graph.setNodes(graph.nodes.filter(n => !replaced.has(n)));
  for (const node of nodes) {
    const operands = ['A', 'B'].map((side, i) => {
      const name = node.inputs[i]!;
      const turned = intAttribute(node, `trans${side}`, 0) === 1;
      const batches = intAttribute(node, `transBatch${side}`, 0) === 1;
      const perm = permutation(dims(name).length, turned, batches);
      const moves = perm.some((axis, at) => axis !== at);
      return moves ? graph.op('Transpose', [name], [attribute.ints('perm', perm)]) : name;
    });
    const alpha = floatAttribute(node, 'alpha', 1);
    if (alpha === 1) graph.op('MatMul', operands, [], node.outputs[0]);
    else {
      const type = types.get(node)!;
      const factor = graph.floats([alpha], []);
      const typed =
        type === ElementType.float32 ? factor : graph.op('Cast', [factor], [attribute.int('to', type)]);
      graph.op('Mul', [graph.op('MatMul', operands), typed], [], node.outputs[0]);
    }
  }
  graph.sort();
}

/** `batches`: the first axis stands behind the batch axes; `turned`: then the last two change places. */
function permutation(rank: number, turned: boolean, batches: boolean): number[] {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  if (batches) perm.splice(rank - 2, 0, perm.shift()!);
  if (turned) perm.push(perm.splice(rank - 2, 1)[0]!);
  return perm;
}
