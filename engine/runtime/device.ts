import { DeviceRefusedError, told } from '../errors';
import type { CrashedDevice, DeviceChoice, DeviceName, DeviceReport } from '../../shared/protocol/engine';
import { selfTest, type Verdict } from './selfTest';
import { say } from '../../shared/sentences';

/** What this build of ONNX Runtime has; `bundled` = its libraries come with the package. */
export interface Backend {
  name: string;
  bundled: boolean;
}

export type DeviceTest = (device: DeviceName) => Promise<Verdict>;

const titles: Record<DeviceName, string> = {
  cpu: 'CPU',
  webgpu: 'WebGPU',
  cuda: 'CUDA',
  dml: 'DirectML',
  coreml: 'Core ML',
};

/** Tried in this order by `auto`, as far as the build has them. DirectML is left to those who ask for it: WebGPU serves the same GPUs. */
const preferred: readonly DeviceName[] = ['cuda', 'webgpu', 'coreml'];

/**
 * The device to run on. `auto` takes the first GPU provider that passes the self-test and is faster than the CPU, and falls
 * back to the CPU, with a note per provider not taken. A device asked for by name is refused with the reason where it
 * fails, and used with a note where it is slow. The CPU takes over from a device that crashed, however it was asked for.
 */
export async function chooseDevice(
  choice: DeviceChoice,
  backends: readonly Backend[],
  test: DeviceTest = selfTest,
  crashed: readonly CrashedDevice[] = [],
): Promise<DeviceReport> {
  const hasCrashed = (device: DeviceName, { adapter }: Verdict) =>
    crashed.some(one => one.device === device && one.adapter === adapter);
  if (choice === 'cpu') return { device: 'cpu', requested: choice, adapter: null, notes: [] };
  if (choice !== 'auto') {
    if (!backends.some(({ name }) => name === choice))
      throw refusal(choice, 'this build of ONNX Runtime does not have it');
    const verdict = await test(choice);
    if (verdict.failure !== null) throw refusal(choice, verdict.failure);
    if (hasCrashed(choice, verdict))
      return { device: 'cpu', requested: choice, adapter: null, notes: [notUsed(choice, CRASHED)] };
    const slow = slowness(verdict);
    const notes = slow === null ? [] : [say('usedThough', titles[choice], slow)];
    return { device: choice, requested: choice, adapter: verdict.adapter, notes };
  }
  const notes: string[] = [];
  for (const device of preferred) {
    // A provider whose libraries the user would have to fetch is tried only when asked for by name.
    if (!backends.some(({ name, bundled }) => name === device && bundled)) continue;
    const verdict = await test(device);
    const reason = verdict.failure ?? (hasCrashed(device, verdict) ? CRASHED : null) ?? slowness(verdict);
    if (reason === null) return { device, requested: choice, adapter: verdict.adapter, notes };
    notes.push(notUsed(device, reason));
  }
  if (notes.length === 0) notes.push(say('noProvider'));
  return { device: 'cpu', requested: choice, adapter: null, notes };
}

const CRASHED = say('crashed');

const notUsed = (device: DeviceName, reason: string) => say('notUsed', titles[device], reason);

const refusal = (device: DeviceName, reason: string) =>
  new DeviceRefusedError(told`${titles[device]} cannot be used here: ${reason}.`);

/** Why a working device is not worth using, in a clause; null when it is faster than the CPU. */
function slowness({ times, adapter }: Verdict): string | null {
  if (times === null || times.device < times.cpu) return null;
  const took = (milliseconds: number) =>
    `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  return say('slower', took(times.device), took(times.cpu), adapter ?? say('software'));
}
