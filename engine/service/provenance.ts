/** By what a result can be made again: the one definition of what every file of results names. */
import { availableParallelism } from 'node:os';
import { hashOf } from '../hash';
import { RUNTIME_VERSION, threadsOf } from '../runtime/ort';
import { VERSION } from '../version';
import { SEEDS } from '../../shared/random';
import type { DeviceReport, ModelInfo, Provenance } from '../../shared/protocol/engine';

/** @param inputs what was read, in the order in which it was given. */
export function provenance(
  model: ModelInfo | null,
  { device, requested, adapter }: DeviceReport,
  inputs: Provenance['inputs'],
  seeds: Provenance['seeds'] = {},
): Provenance {
  return {
    tool: { name: 'attention-inspector', version: VERSION },
    model: model?.fingerprint ? { name: model.name, ref: model.ref, ...model.fingerprint } : null,
    inputs,
    seeds: { ...SEEDS, ...seeds },
    device: {
      device,
      requested,
      adapter,
      threads: threadsOf(device),
      processors: availableParallelism(),
      platform: `${process.platform}-${process.arch}`,
    },
    runtime: { onnxruntime: RUNTIME_VERSION, node: process.versions.node },
  };
}

/** A text as an input. */
export const textInput = (name: string, text: string): Provenance['inputs'][number] => ({
  name,
  sha256: hashOf(text),
});
