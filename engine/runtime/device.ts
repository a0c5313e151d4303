import { RefusedError } from '../errors';
import type { DeviceChoice, DeviceName, DeviceReport } from '../../shared/protocol/engine';
import { selfTest } from './selfTest';

/** What this build of ONNX Runtime has; `bundled` = its libraries come with the package. */
export interface Backend {
  name: string;
  bundled: boolean;
}

/** Tells why a device cannot be used, in a clause; null when it works. */
export type DeviceTest = (device: DeviceName) => Promise<string | null>;

const titles: Record<DeviceName, string> = {
  cpu: 'CPU',
  webgpu: 'WebGPU',
  cuda: 'CUDA',
  dml: 'DirectML',
  coreml: 'Core ML',
};

/** Tried in this order by `auto`, as far as the build has them. */
const preferred: readonly DeviceName[] = ['cuda', 'webgpu', 'dml', 'coreml'];

/**
 * The device to run on. `auto` takes the first GPU provider that passes the self-test and falls back to the CPU,
 * with a note per provider not taken; a device asked for by name that fails is refused with the reason.
 */
export async function chooseDevice(
  choice: DeviceChoice,
  backends: readonly Backend[],
  test: DeviceTest = selfTest,
): Promise<DeviceReport> {
  if (choice === 'cpu') return { device: 'cpu', requested: choice, notes: [] };
  if (choice !== 'auto') {
    const reason = backends.some(({ name }) => name === choice)
      ? await test(choice)
      : 'this build of ONNX Runtime does not have it';
    if (reason !== null) throw new RefusedError(`${titles[choice]} cannot be used here: ${reason}.`);
    return { device: choice, requested: choice, notes: [] };
  }
  const notes: string[] = [];
  for (const device of preferred) {
    // A provider whose libraries the user would have to fetch is tried only when asked for by name.
    if (!backends.some(({ name, bundled }) => name === device && bundled)) continue;
    const reason = await test(device);
    if (reason === null) return { device, requested: choice, notes };
    notes.push(`${titles[device]} is not used: ${reason}.`);
  }
  if (notes.length === 0) notes.push('This build of ONNX Runtime has no GPU provider for this platform.');
  return { device: 'cpu', requested: choice, notes };
}
