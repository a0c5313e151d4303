/** A tensor as the engine passes it around: row-major data with its dimensions. */
export type Tensor =
  | { type: 'float32'; data: Float32Array; dims: readonly number[] }
  | { type: 'int64'; data: BigInt64Array; dims: readonly number[] }
  | { type: 'int32'; data: Int32Array; dims: readonly number[] }
  | { type: 'bool'; data: Uint8Array; dims: readonly number[] }
  | { type: 'float16'; data: Uint16Array; dims: readonly number[] }
  | { type: 'uint8'; data: Uint8Array; dims: readonly number[] }
  | { type: 'int8'; data: Int8Array; dims: readonly number[] }
  | { type: 'float64'; data: Float64Array; dims: readonly number[] };

/** A float32 tensor that lies where a device's sessions read it; nothing else can. */
export interface DeviceTensor {
  readonly type: 'float32';
  readonly dims: readonly number[];
  readonly onDevice: true;
}

/** What a session is given. */
export type Feed = Tensor | DeviceTensor;

export function float32(data: Float32Array, dims: readonly number[]): Tensor {
  return { type: 'float32', data, dims };
}

export function int32(data: Int32Array, dims: readonly number[]): Tensor {
  return { type: 'int32', data, dims };
}

export function int64(data: ArrayLike<number>, dims: readonly number[]): Tensor {
  return { type: 'int64', data: BigInt64Array.from(data, BigInt), dims };
}

/** The data of a float32 tensor, or an error naming what was found. */
export function floats(tensor: Tensor): Float32Array {
  if (tensor.type !== 'float32') throw new Error(`expected float32, found ${tensor.type}`);
  return tensor.data;
}

/** The data of a float tensor of any width as float32; null = of another type. */
export function asFloats(tensor: Tensor): Float32Array | null {
  if (tensor.type === 'float32') return tensor.data;
  if (tensor.type === 'float64') return Float32Array.from(tensor.data);
  return tensor.type === 'float16' ? Float32Array.from(tensor.data, halfToNumber) : null;
}

/** The same, or an error naming what was found. */
export const widened = (tensor: Tensor): Float32Array => asFloats(tensor) ?? floats(tensor);

/** IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** An int64 tensor as pairs of 32-bit words, the low one first: reading indices as BigInts is slow. */
export function lowWords(tensor: Tensor): Int32Array {
  if (tensor.type !== 'int64') throw new Error(`expected int64, found ${tensor.type}`);
  const { buffer, byteOffset, length } = tensor.data;
  return new Int32Array(buffer, byteOffset, length * 2);
}
