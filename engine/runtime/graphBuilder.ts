import {
  AttributeType,
  ElementType,
  encodeModel,
  type AttributeProto,
  type NodeProto,
  type Partially,
  type TensorProto,
  type ValueInfoProto,
} from './onnxProto';
import type { Tensor } from './tensor';

export type Attribute =
  number | string | readonly number[] | { float: number } | { floats: readonly number[] };
export type ElementName = 'float32' | 'float64' | 'int64' | 'int32' | 'bool' | 'uint8' | 'int8';

/** A value of the graph under construction: its name. */
export type Value = string & { readonly __value: unique symbol };

/**
 * Builds the small ONNX graphs that do the engine's heavy maths (opset 18). Dimensions may be symbolic.
 * `g.op('MatMul', [a, b])` adds a node and returns its first output; whole-number attributes become ints,
 * `{ float: 1 }` a float.
 */
export class GraphBuilder {
  private readonly nodes: Partially<NodeProto>[] = [];
  private readonly inputs: Partially<ValueInfoProto>[] = [];
  private readonly outputs: Partially<ValueInfoProto>[] = [];
  private readonly shapes: Partially<ValueInfoProto>[] = [];
  /** Values made by a node that leave the graph under another name. */
  private readonly renamed = new Map<string, string>();
  private readonly initializers: Partially<TensorProto>[] = [];
  private readonly constants = new Map<string, Value>();
  private readonly domains = new Map<string, number>([['', 18]]);
  private next = 0;

  input(name: string, type: ElementName, dims: readonly (number | string)[]): Value {
    this.inputs.push(valueInfo(name, type, dims));
    return name as Value;
  }

  op(type: string, inputs: readonly (Value | '')[], attributes: Record<string, Attribute> = {}): Value {
    return this.ops(type, inputs, 1, attributes)[0]!;
  }

  /** A node with several outputs. */
  ops(
    type: string,
    inputs: readonly (Value | '')[],
    outputs: number,
    attributes: Record<string, Attribute> = {},
    domain = '',
  ): Value[] {
    if (domain !== '') this.domains.set(domain, 1);
    const names = Array.from({ length: outputs }, () => `v${this.next++}` as Value);
    this.nodes.push({
      op_type: type,
      domain,
      input: [...inputs],
      output: names,
      attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    });
    return names;
  }

  /** float32 constant; a plain number is a scalar. Equal small constants are shared. */
  float(value: number | readonly number[] | Float32Array, dims?: readonly number[]): Value {
    const data = typeof value === 'number' ? Float32Array.of(value) : Float32Array.from(value);
    return this.constant({
      type: 'float32',
      data,
      dims: dims ?? (typeof value === 'number' ? [] : [data.length]),
    });
  }

  int(value: number | readonly number[], dims?: readonly number[]): Value {
    const list = typeof value === 'number' ? [value] : value;
    const data = BigInt64Array.from(list, BigInt);
    return this.constant({
      type: 'int64',
      data,
      dims: dims ?? (typeof value === 'number' ? [] : [list.length]),
    });
  }

  constant(tensor: Tensor): Value {
    const raw = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    const key = raw.byteLength <= 64 ? `${tensor.type}|${tensor.dims.join()}|${raw.join()}` : null;
    const known = key === null ? undefined : this.constants.get(key);
    if (known !== undefined) return known;
    const name = `c${this.next++}` as Value;
    this.initializers.push({
      name,
      dims: [...tensor.dims],
      data_type: ElementType[tensor.type],
      raw_data: raw,
    });
    if (key !== null) this.constants.set(key, name);
    return name;
  }

  /**
   * States a shape that ONNX Runtime cannot infer. Values that it knows to have equal shapes are computed in place.
   */
  shaped(value: Value, type: ElementName, dims: readonly (number | string)[]): Value {
    this.shapes.push(valueInfo(value, type, dims));
    return value;
  }

  output(
    name: string,
    value: Value,
    type: ElementName = 'float32',
    dims: readonly (number | string)[] | null = null,
  ): void {
    const made = this.nodes.some(node => node.output!.includes(value));
    // An Identity would copy; it is only needed for inputs, constants and values that leave twice.
    if (made && !this.renamed.has(value)) this.renamed.set(value, name);
    else this.nodes.push({ op_type: 'Identity', input: [value], output: [name] });
    this.outputs.push(valueInfo(name, type, dims));
  }

  /** The finished model, serialised. */
  encode(): Uint8Array {
    const rename = (value: string) => this.renamed.get(value) ?? value;
    const nodes = this.nodes.map(node => ({
      ...node,
      input: node.input!.map(rename),
      output: node.output!.map(rename),
    }));
    return encodeModel({
      ir_version: 8,
      producer_name: 'attention-inspector',
      opset_import: [...this.domains].map(([domain, version]) => ({ domain, version })),
      graph: {
        name: 'g',
        node: nodes,
        input: this.inputs,
        output: this.outputs,
        value_info: this.shapes,
        initializer: this.initializers,
      },
    });
  }
}

function valueInfo(
  name: string,
  type: ElementName,
  dims: readonly (number | string)[] | null,
): Partially<ValueInfoProto> {
  const shape = dims && { dim: dims.map(d => (typeof d === 'number' ? { dim_value: d } : { dim_param: d })) };
  return { name, type: { tensor_type: { elem_type: ElementType[type], ...(shape ? { shape } : {}) } } };
}

function attributeProto(name: string, value: Attribute): Partially<AttributeProto> {
  if (typeof value === 'number') return { name, type: AttributeType.int, i: value };
  if (typeof value === 'string')
    return { name, type: AttributeType.string, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: AttributeType.float, f: value.float };
  if ('floats' in value) return { name, type: AttributeType.floats, floats: [...value.floats] };
  return { name, type: AttributeType.ints, ints: [...value] };
}
