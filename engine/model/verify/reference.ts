import {
  AttributeType,
  ElementType,
  encodeModel,
  type NodeProto,
  type Partially,
} from '../../runtime/onnxProto';
import type { Skeleton } from '../onnx/skeleton';

/** Tables smaller than this may be kept twice. */
const LARGE = 16 * 2 ** 20;

/**
 * The model as ONNX Runtime is to load it for a reference. The file's own bytes, except that a product with a large table
 * that is stored transposed (tied embeddings) reads it as it is stored, which ONNX Runtime's optimiser would do itself if
 * it had not first made a transposed copy.
 */
export function referenceBytes({ bytes, model }: Skeleton): Uint8Array {
  const graph = model.graph!;
  const large = new Set(
    graph.initializer
      .filter(t => t.data_type === ElementType.float32 && t.dims.length === 2)
      .filter(t => 4 * t.dims.reduce<number>((size, d) => size * Number(d), 1) >= LARGE)
      .map(t => t.name),
  );
  const turned = new Map<string, NodeProto>();
  for (const node of graph.node) {
    const perm = node.attribute.find(a => a.name === 'perm')?.ints.map(Number) ?? [1, 0];
    if (node.op_type === 'Transpose' && large.has(node.input[0]!) && perm.join() === '1,0')
      turned.set(node.output[0]!, node);
  }
  const products = graph.node.filter(n => n.op_type === 'MatMul' && turned.has(n.input[1]!));
  if (products.length === 0) return bytes;
  const nodes: Partially<NodeProto>[] = graph.node.map(node => {
    const table = products.includes(node) ? turned.get(node.input[1]!)!.input[0]! : null;
    if (table === null) return node;
    return {
      ...node,
      op_type: 'FusedMatMul',
      domain: 'com.microsoft',
      input: [node.input[0]!, table],
      attribute: [{ name: 'transB', type: AttributeType.int, i: 1 }],
    };
  });
  const read = new Set([...nodes.flatMap(n => n.input!), ...graph.output.map(o => o.name)]);
  const kept = nodes.filter(n => !turned.has(n.output![0]!) || read.has(n.output![0]!));
  const known = model.opset_import.some(o => o.domain === 'com.microsoft');
  return encodeModel({
    ...model,
    opset_import: [...model.opset_import, ...(known ? [] : [{ domain: 'com.microsoft', version: 1 }])],
    graph: { ...graph, node: kept },
  });
}
