import { RefusedError, told } from '../../errors';
import {
  ElementType,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type Partially,
  type TensorProto,
} from '../../runtime/onnxProto';
import { Graph } from './graph';
import type { FunctionProto } from './inlineFunctions';
import { normalDomain, reads, type GraphNode } from './node';

const OUTPUT_NAMES = ['logits', 'prediction_logits', 'last_hidden_state', 'hidden_states'];

/** The graph of a decoded model, Constant nodes turned into initialisers, with the one output that matters. */
export function graphOf(model: ModelProto): Graph {
  const proto = model.graph!;
  const initializers = new Map<string, Partially<TensorProto>>(
    proto.initializer.map(t => [t.name, t] as const),
  );
  const nodes: GraphNode[] = [];
  for (const n of proto.node) {
    const made = graphNode(n);
    if ('tensor' in made) initializers.set(n.output[0]!, made.tensor);
    else nodes.push(made);
  }
  const inputs = proto.input
    .filter(i => !initializers.has(i.name))
    .map(i => ({
      name: i.name,
      type: i.type?.tensor_type?.elem_type ?? ElementType.float32,
      dims:
        i.type?.tensor_type?.shape?.dim.map(d =>
          d.dim_param ? d.dim_param : d.dim_value === undefined ? '?' : Number(d.dim_value),
        ) ?? null,
    }));
  const outputs = proto.output.map(o => o.name);
  const output = OUTPUT_NAMES.find(name => outputs.includes(name)) ?? outputs[0]!;
  const opsets = model.opset_import.map(o => ({ domain: o.domain, version: Number(o.version) }));
  const outputType = proto.output.find(o => o.name === output)?.type?.tensor_type?.elem_type;
  const graph = new Graph(
    nodes,
    initializers,
    inputs,
    output,
    outputType ?? ElementType.float32,
    opsets,
    Number(model.ir_version),
    model.functions as FunctionProto[],
  );
  const made = new Set([
    ...inputs.map(i => i.name),
    ...initializers.keys(),
    ...nodes.flatMap(n => n.outputs),
  ]);
  const missing = [output, ...nodes.flatMap(reads)].find(name => !made.has(name));
  if (missing !== undefined)
    throw new RefusedError(
      told`The ONNX graph is damaged: nothing makes its tensor ${JSON.stringify(missing)}.`,
    );
  graph.sort();
  return graph;
}

/** A node of the file; a Constant becomes an initialiser. */
export function graphNode(n: NodeProto): GraphNode | { tensor: Partially<TensorProto> } {
  const constant = n.op_type === 'Constant' ? constantTensor(n) : null;
  if (constant) return { tensor: { ...constant, name: n.output[0]! } };
  const bodies = n.attribute.flatMap(a => (a.g ? [a.g] : []));
  return {
    op: n.op_type,
    domain: normalDomain(n.domain),
    inputs: [...n.input],
    outputs: [...n.output],
    attributes: n.attribute,
    captures: [...new Set(bodies.flatMap(captures))],
  };
}

/** Names that a body reads from the graph around it. */
function captures(body: GraphProto): string[] {
  const own = new Set([...body.input.map(i => i.name), ...body.initializer.map(t => t.name)]);
  for (const n of body.node) for (const o of n.output) own.add(o);
  const wanted = [
    ...body.node.flatMap(n => [...n.input, ...n.attribute.flatMap(a => (a.g ? captures(a.g) : []))]),
    ...body.output.map(o => o.name),
  ];
  return wanted.filter(name => name !== '' && !own.has(name));
}

function constantTensor(node: NodeProto): Partially<TensorProto> | null {
  const [a] = node.attribute;
  if (!a) return null;
  const bytes = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  switch (a.name) {
    case 'value':
      return a.t;
    case 'value_float':
      return { data_type: ElementType.float32, dims: [], raw_data: bytes(Float32Array.of(a.f)) };
    case 'value_floats':
      return {
        data_type: ElementType.float32,
        dims: [a.floats.length],
        raw_data: bytes(Float32Array.from(a.floats)),
      };
    case 'value_int':
      return {
        data_type: ElementType.int64,
        dims: [],
        raw_data: bytes(BigInt64Array.of(BigInt(Number(a.i)))),
      };
    case 'value_ints':
      return {
        data_type: ElementType.int64,
        dims: [a.ints.length],
        raw_data: bytes(BigInt64Array.from(a.ints.map(v => BigInt(Number(v))))),
      };
    default:
      return null;
  }
}
