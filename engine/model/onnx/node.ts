import {
  AttributeType,
  ElementType,
  type AttributeProto,
  type Partially,
  type TensorProto,
} from '../../runtime/onnxProto';

export interface GraphNode {
  op: string;
  domain: string;
  /** '' = left out. */
  inputs: string[];
  outputs: string[];
  attributes: Partially<AttributeProto>[];
  /** Tensors of this graph that the bodies of If, Loop and Scan read. */
  captures: string[];
}

/** What a node reads, captures of its bodies included. */
export function reads(node: GraphNode): string[] {
  const names = node.inputs.filter(name => name !== '');
  return node.captures.length === 0 ? names : [...names, ...node.captures];
}

export function normalDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

export const attribute = {
  int: (name: string, value: number): Partially<AttributeProto> => ({
    name,
    type: AttributeType.int,
    i: value,
  }),
  ints: (name: string, values: readonly number[]): Partially<AttributeProto> => ({
    name,
    type: AttributeType.ints,
    ints: [...values],
  }),
  float: (name: string, value: number): Partially<AttributeProto> => ({
    name,
    type: AttributeType.float,
    f: value,
  }),
};

export function findAttribute(node: GraphNode, name: string): Partially<AttributeProto> | undefined {
  return node.attributes.find(a => a.name === name);
}

export function intAttribute(node: GraphNode, name: string, fallback: number): number {
  const found = findAttribute(node, name);
  return found ? Number(found.i ?? 0) : fallback;
}

export function intsAttribute(node: GraphNode, name: string): number[] | null {
  return findAttribute(node, name)?.ints?.map(Number) ?? null;
}

export function floatAttribute(node: GraphNode, name: string, fallback: number): number {
  return findAttribute(node, name)?.f ?? fallback;
}

/** The numbers of a small constant tensor, or null when it is not at hand. */
export function constantValues(tensor: Partially<TensorProto> | undefined): number[] | null {
  if (!tensor || tensor.data_location === 1) return null;
  if (tensor.int64_data?.length) return tensor.int64_data.map(Number);
  if (tensor.float_data?.length) return [...tensor.float_data];
  if (tensor.int32_data?.length) return [...tensor.int32_data];
  const raw = tensor.raw_data;
  if (!raw) return null;
  const bytes = new Uint8Array(raw); // a copy: the original may lie at an odd offset
  switch (tensor.data_type) {
    case ElementType.float32:
      return [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
    case ElementType.int64:
      return [...new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)].map(Number);
    case ElementType.int32:
      return [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
    case ElementType.bool:
      return [...bytes];
    default:
      return null;
  }
}

/** Operators that draw random numbers: two of them are never the same. */
export const RANDOM: ReadonlySet<string> = new Set([
  'RandomNormal',
  'RandomUniform',
  'RandomNormalLike',
  'RandomUniformLike',
  'Bernoulli',
  'Multinomial',
]);
