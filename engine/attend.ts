import type { CoreInput } from './attention/core';
import { readParams } from './attention/parameters';
import { findMechanism } from './attention/registry';
import type { Attended } from './attention/mechanism';
import { RefusedError } from './errors';
import { checkpoint, type Cancellation } from './runtime/cancellation';
import type { Runtime } from './runtime/runtime';
import { float32, int64, type Tensor } from './runtime/tensor';

export interface AttendOptions {
  mechanism: string;
  /** As given on the command line. */
  params: Readonly<Record<string, string>>;
  causal: boolean;
  /** Also give the effective attention, [heads, queries, keys]. */
  weights: boolean;
  runtime: Runtime;
  cancellation: Cancellation;
}

/**
 * One attention core under one mechanism, on given tensors: `q` [heads, queries, dim], `k` [kvHeads, keys, dim],
 * `v` [kvHeads, keys, valueDim], optional `bias` [heads or 1, queries, keys], and the mechanism's own tensors; those
 * that are missing are made from the input as an analysis would. Scores are divided by sqrt(dim).
 * @returns `output` [heads, queries, valueDim], `weights` if asked for, and the mechanism's integer tensors as int64.
 * @throws RefusedError for tensors that do not fit, UsageError for unknown mechanisms and parameters.
 */
export async function attend(
  tensors: Readonly<Record<string, Tensor>>,
  options: AttendOptions,
): Promise<Record<string, Tensor>> {
  const mechanism = findMechanism(options.mechanism);
  const params = readParams(mechanism.info, options.params);
  const input = coreInput(tensors, options.causal);
  const reason = mechanism.refuses?.(input, params);
  if (reason) throw new RefusedError(reason);
  const { q: _q, k: _k, v: _v, bias: _bias, ...own } = tensors;
  const context = { runtime: options.runtime, cancellation: options.cancellation, own };
  const prepared = await mechanism.prepare?.(input, params, context);
  const attended = await mechanism.attend(input, params, { ...context, own: { ...prepared, ...own } });
  return {
    output: float32(attended.output, [input.heads, input.queries, input.valueDim]),
    ...(options.weights ? { weights: await weights(input, attended, options.cancellation) } : {}),
    ...Object.fromEntries(Object.entries(attended.extra).map(([name, tensor]) => [name, widen(tensor)])),
  };
}

function coreInput(tensors: Readonly<Record<string, Tensor>>, causal: boolean): CoreInput {
  const [heads, queries, dim] = dimsOf(tensors, 'q');
  const [kvHeads, keys, keyDim] = dimsOf(tensors, 'k');
  const [valueHeads, values, valueDim] = dimsOf(tensors, 'v');
  if (keyDim !== dim) throw new RefusedError(`q has ${dim} dimensions per head, k has ${keyDim}.`);
  if (valueHeads !== kvHeads || values !== keys) {
    throw new RefusedError(`k is ${kvHeads} x ${keys}, v is ${valueHeads} x ${values}; they must agree.`);
  }
  if (heads % kvHeads !== 0) {
    throw new RefusedError(`The ${heads} heads of q are not a multiple of the ${kvHeads} heads of k.`);
  }
  if (causal && queries > keys) {
    throw new RefusedError(`There are more queries (${queries}) than keys (${keys}) under a causal mask.`);
  }
  const bias = tensors['bias'];
  if (bias && !(bias.dims.length === 3 && [1, heads].includes(bias.dims[0]!))) {
    throw new RefusedError(`bias must be [${heads} or 1, ${queries}, ${keys}].`);
  }
  if (bias && (bias.dims[1] !== queries || bias.dims[2] !== keys)) {
    throw new RefusedError(
      `bias is [${bias.dims.join(', ')}], it must be [${heads} or 1, ${queries}, ${keys}].`,
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
  if (!tensor) throw new RefusedError(`The tensor "${name}" is missing.`);
  const [a, b, c] = tensor.dims;
  if (tensor.dims.length !== 3 || !a || !b || !c) {
    throw new RefusedError(
      `"${name}" must have three dimensions above 0, it is [${tensor.dims.join(', ')}].`,
    );
  }
  return [a, b, c];
}

function floatData(tensor: Tensor, name: string): Float32Array {
  if (tensor.type === 'float32') return tensor.data;
  if (tensor.type === 'float64') return Float32Array.from(tensor.data);
  throw new RefusedError(`"${name}" must be float32, it is ${tensor.type}.`);
}

async function weights(input: CoreInput, attended: Attended, cancellation: Cancellation): Promise<Tensor> {
  const { heads, queries, keys } = input;
  const all = new Float32Array(heads * queries * keys);
  for (let head = 0; head < heads; head++) {
    await checkpoint(cancellation);
    for (let query = 0; query < queries; query++) {
      const row = attended.row(head, query);
      const at = (head * queries + query) * keys;
      row.keys.forEach((key, t) => (all[at + key] = row.weights[t]!));
    }
  }
  return float32(all, [heads, queries, keys]);
}

function widen(tensor: Tensor): Tensor {
  return tensor.type === 'int32' ? int64(tensor.data, tensor.dims) : tensor;
}
