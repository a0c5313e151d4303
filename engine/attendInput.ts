import type { CoreInput } from './attention/core';
import { refusesTensors, type OwnTensor } from './attention/ownTensors';
import { RefusedError, told } from './errors';
import type { MechanismParams } from '../shared/protocol/engine';
import { asFloats, float32, type Tensor } from './runtime/tensor';

/** The core that `q`, `k`, `v` and `bias` describe. @throws RefusedError */
export function coreInput(tensors: Readonly<Record<string, Tensor>>, causal: boolean): CoreInput {
  const [heads, queries, dim] = dimsOf(tensors, 'q');
  const [kvHeads, keys, keyDim] = dimsOf(tensors, 'k');
  const [valueHeads, values, valueDim] = dimsOf(tensors, 'v');
  if (keyDim !== dim) throw new RefusedError(told`q has ${dim} dimensions per head, k has ${keyDim}.`);
  if (valueHeads !== kvHeads || values !== keys) {
    throw new RefusedError(told`k is ${kvHeads} x ${keys}, v is ${valueHeads} x ${values}; they must agree.`);
  }
  if (heads % kvHeads !== 0) {
    throw new RefusedError(told`The ${heads} heads of q are not a multiple of the ${kvHeads} heads of k.`);
  }
  if (causal && queries > keys) {
    throw new RefusedError(
      told`There are more queries (${queries}) than keys (${keys}) under a causal mask.`,
    );
  }
  const bias = tensors['bias'];
  if (bias && !(bias.dims.length === 3 && [1, heads].includes(bias.dims[0]!))) {
    throw new RefusedError(told`bias must be [${heads} or 1, ${queries}, ${keys}].`);
  }
  if (bias && (bias.dims[1] !== queries || bias.dims[2] !== keys)) {
    throw new RefusedError(
      told`bias is [${bias.dims.join(', ')}], it must be [${heads} or 1, ${queries}, ${keys}].`,
    );
  }
  return {
    heads,
    kvHeads,
    queries,
    keys,
    dim,
    valueDim,
    q: floatData(tensors['q']!, 'q'),
    k: floatData(tensors['k']!, 'k'),
    v: floatData(tensors['v']!, 'v'),
    rule: {
      scale: new Float32Array(heads).fill(1 / Math.sqrt(dim)),
      softCap: null,
      mask: { causal, window: null },
      bias: bias ? { kind: 'opaque', heads: bias.dims[0]!, data: floatData(bias, 'bias') } : null,
    },
  };
}

function dimsOf(tensors: Readonly<Record<string, Tensor>>, name: string): [number, number, number] {
  const tensor = tensors[name];
  if (!tensor) throw new RefusedError(told`The tensor "${name}" is missing.`);
  const [a, b, c] = tensor.dims;
  if (tensor.dims.length !== 3 || !a || !b || !c) {
    throw new RefusedError(
      told`"${name}" must have three dimensions above 0, it is [${tensor.dims.join(', ')}].`,
    );
  }
  return [a, b, c];
}

function floatData(tensor: Tensor, name: string): Float32Array {
  const data = asFloats(tensor);
  if (!data)
    throw new RefusedError(told`"${name}" must be float32, float64 or float16, it is ${tensor.type}.`);
  const hides = name === 'bias';
  for (const x of data) {
    if (Number.isFinite(x) || (hides && x === -Infinity)) continue;
    throw new RefusedError(
      told`"${name}" holds ${Number.isNaN(x) ? 'NaN' : x}, which no score can be made of.`,
    );
  }
  return data;
}

/** With keys tied to the queries `k` is ignored: zeros stand for it, as many as there are values. */
export function withoutKeys(tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const [, , dim] = dimsOf(tensors, 'q');
  const [heads, keys] = dimsOf(tensors, 'v');
  return { ...tensors, k: float32(new Float32Array(heads * keys * dim), [heads, keys, dim]) };
}

/** The mechanism's own tensors, numbers as float32. What it has no use for is left out. @throws RefusedError */
export function ownTensors(
  tensors: Readonly<Record<string, Tensor>>,
  schema: Readonly<Record<string, OwnTensor>>,
  input: CoreInput,
  given: Readonly<MechanismParams>,
): Record<string, Tensor> {
  const own: Record<string, Tensor> = {};
  for (const [name, { holds }] of Object.entries(schema)) {
    const tensor = tensors[name];
    if (!tensor) continue;
    const integers = tensor.type === 'int64' || tensor.type === 'int32';
    const data = integers ? Float32Array.from(tensor.data, Number) : asFloats(tensor);
    own[name] = holds === 'indices' || !data ? tensor : float32(data, tensor.dims);
  }
  const reason = refusesTensors(schema, own, input, given);
  if (reason) throw new RefusedError(reason);
  return own;
}
