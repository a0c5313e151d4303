import { coreInput, ownTensors, withoutKeys } from './attendInput';
import type { CoreInput } from './attention/core';
import { readParams, settledParams } from './attention/parameters';
import { findMechanism } from './attention/registry';
import type { Attended } from './attention/mechanism';
import { RefusedError } from './errors';
import type { MechanismParams } from '../shared/protocol/engine';
import { chosenParams } from '../shared/setting';
import { checkpoint } from './runtime/cancellation';
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
  signal: AbortSignal;
}

export interface AttendedTensors {
  /** `output` [heads, queries, valueDim], `weights` if asked for, and the mechanism's integer tensors as int64. */
  tensors: Record<string, Tensor>;
  /** All parameters as they came to. */
  settled: MechanismParams;
}

/**
 * One attention core under one mechanism, on given tensors: `q` [heads, queries, dim], `k` [kvHeads, keys, dim],
 * `v` [kvHeads, keys, valueDim], optional `bias` [heads or 1, queries, keys], and the mechanism's own tensors; those
 * that are missing are made from the input as an analysis would. Numbers may be float32, float64 or float16. Scores are
 * divided by sqrt(dim). Where keys are made from the queries `k` is not needed.
 * @throws RefusedError for tensors that do not fit, UsageError for unknown mechanisms and parameters.
 */
export async function attend(
  tensors: Readonly<Record<string, Tensor>>,
  options: AttendOptions,
): Promise<AttendedTensors> {
  const mechanism = findMechanism(options.mechanism);
  const params = readParams(mechanism.info, options.params);
  const causal = options.causal || mechanism.causalOnly === true;
  const input = coreInput(mechanism.tiesKeys?.(params) ? withoutKeys(tensors) : tensors, causal);
  const reason = mechanism.refuses?.(input, params);
  if (reason) throw new RefusedError(reason);
  const own = ownTensors(tensors, mechanism.tensors ?? {}, input, chosen(params, options.params));
  const context = { runtime: options.runtime, signal: options.signal, own };
  const prepared = await mechanism.prepare?.(input, params, context);
  const attended = await mechanism.attend(input, params, { ...context, own: { ...prepared, ...own } });
  return {
    tensors: {
      output: float32(attended.output, [input.heads, input.queries, input.valueDim]),
      ...(options.weights ? { weights: await weights(input, attended, options.signal) } : {}),
      ...Object.fromEntries(Object.entries(attended.extra).map(([name, tensor]) => [name, widen(tensor)])),
    },
    settled: settledParams(mechanism, input, params),
  };
}

/** What the caller chose himself, as it was read. */
function chosen(params: MechanismParams, given: AttendOptions['params']): MechanismParams {
  return Object.fromEntries(Object.entries(chosenParams({ params })).filter(([name]) => name in given));
}

async function weights(input: CoreInput, attended: Attended, signal: AbortSignal): Promise<Tensor> {
  const { heads, queries, keys } = input;
  const all = new Float32Array(heads * queries * keys);
  for (let head = 0; head < heads; head++) {
    await checkpoint(signal);
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
