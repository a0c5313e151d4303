import protobuf from 'protobufjs';
import type Long from 'long';
import schema from './onnx.schema.json';

/**
 * ONNX's own protobuf schema (onnx.proto of the ONNX project, Apache-2.0, as JSON) read and written by protobufjs.
 * Field names are ONNX's. Absent scalars have their default, absent lists are empty.
 */
export type Int64 = number | Long;

export interface StringEntry {
  key: string;
  value: string;
}

export interface TensorProto {
  dims: Int64[];
  data_type: number;
  float_data: number[];
  int32_data: number[];
  string_data: Uint8Array[];
  int64_data: Int64[];
  name: string;
  raw_data: Uint8Array;
  double_data: number[];
  uint64_data: Int64[];
  external_data: StringEntry[];
  /** 0 = in this file, 1 = in external_data. */
  data_location: number;
}

export interface AttributeProto {
  name: string;
  type: number;
  f: number;
  i: Int64;
  s: Uint8Array;
  t: TensorProto | null;
  g: GraphProto | null;
  floats: number[];
  ints: Int64[];
  strings: Uint8Array[];
}

export interface NodeProto {
  input: string[];
  output: string[];
  name: string;
  op_type: string;
  domain: string;
  attribute: AttributeProto[];
}

export interface DimensionProto {
  dim_value?: Int64;
  dim_param?: string;
}

export interface ValueInfoProto {
  name: string;
  type: { tensor_type?: { elem_type: number; shape?: { dim: DimensionProto[] } | null } | null } | null;
}

export interface GraphProto {
  node: NodeProto[];
  name: string;
  initializer: TensorProto[];
  sparse_initializer: unknown[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  value_info: ValueInfoProto[];
}

export interface ModelProto {
  ir_version: Int64;
  opset_import: { domain: string; version: Int64 }[];
  producer_name: string;
  graph: GraphProto | null;
  functions: unknown[];
}

/** What a caller may leave out when it writes a message. */
export type Partially<T> = T extends Uint8Array | number | string
  ? T
  : T extends (infer U)[]
    ? Partially<U>[]
    : T extends object
      ? { [K in keyof T]?: Partially<T[K]> }
      : T;

export const modelType = protobuf.Root.fromJSON(schema as protobuf.INamespace).lookupType('onnx.ModelProto');

/** Throws protobufjs' error on bytes that are no ModelProto. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  return modelType.decode(bytes) as unknown as ModelProto;
}

export function encodeModel(model: Partially<ModelProto>): Uint8Array {
  return modelType.encode(model as object).finish();
}

/** A copy with other fields. Spreading a decoded message would lose what is absent: its defaults stand in the prototype. */
export function changed<T extends object>(message: T, fields: Partial<T>): T {
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object), message, fields) as T;
}

/** ONNX TensorProto.DataType. */
export const ElementType = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
} as const;

/** ONNX AttributeProto.AttributeType. */
export const AttributeType = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;
