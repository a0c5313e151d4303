import { ElementType, type AttributeProto, type Partially } from '../../runtime/onnxProto';

interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes: Partially<AttributeProto>[];
}

const { float32, uint8, int32, int64, bool } = ElementType;

const fixed: Record<string, number> = {
  Shape: int64,
  Size: int64,
  NonZero: int64,
  ArgMax: int64,
  ArgMin: int64,
  MatMulInteger: int32,
  ConvInteger: int32,
  Equal: bool,
  Less: bool,
  LessOrEqual: bool,
  Greater: bool,
  GreaterOrEqual: bool,
  And: bool,
  Or: bool,
  Xor: bool,
  Not: bool,
  IsNaN: bool,
  IsInf: bool,
};

export const isHalf = (type: number): boolean =>
  type === ElementType.float16 || type === ElementType.bfloat16;

/** Element types of a node's outputs: most operators keep the type of their first input, these do not. */
export function outputTypes(node: Node, typeOf: (name: string) => number): number[] {
  const first = () => (node.inputs[0] ? typeOf(node.inputs[0]) : float32);
  const attribute = (name: string) => node.attributes.find(a => a.name === name);
  const all = (type: number) => node.outputs.map(() => type);
  const known = fixed[node.op];
  if (known !== undefined) return all(known);
  switch (node.op) {
    case 'Cast':
      return all(Number(attribute('to')?.i ?? float32));
    case 'Constant':
    case 'ConstantOfShape':
      return all(attribute('value')?.t?.data_type ?? float32);
    case 'EyeLike':
    case 'RandomNormalLike':
      return all(Number(attribute('dtype')?.i ?? first()));
    case 'DynamicQuantizeLinear':
      return [uint8, float32, uint8];
    case 'DequantizeLinear':
      return all(typeOf(node.inputs[1]!));
    case 'QuantizeLinear':
      return all(node.inputs[2] ? typeOf(node.inputs[2]) : uint8);
    case 'OneHot':
      return all(typeOf(node.inputs[2]!));
    case 'If':
    case 'Loop':
    case 'Scan': {
      // A Loop's body gives out its condition first.
      const body = node.attributes.find(a => a.g)?.g;
      const skip = node.op === 'Loop' ? 1 : 0;
      return node.outputs.map((_, i) => body?.output?.[i + skip]?.type?.tensor_type?.elem_type || float32);
    }
    case 'Where':
      return all(typeOf(node.inputs[1]!));
    case 'TopK':
      return [first(), int64];
    case 'EmbedLayerNormalization':
      return [typeOf(node.inputs[2]!), int32, typeOf(node.inputs[2]!)];
    case 'QEmbedLayerNormalization':
      return [float32, int32];
    case 'GatherBlockQuantized':
      return all(typeOf(node.inputs[2]!));
    case 'DynamicQuantizeMatMul':
    case 'MatMulIntegerToFloat':
      return all(float32);
    case 'QAttention':
    case 'MatMulNBits':
      return all(node.op === 'QAttention' ? typeOf(node.inputs[3]!) : first());
    default:
      return all(first());
  }
}
