import { RefusedError } from '../errors';
import type { DeviceChoice, DeviceReport } from '../protocol';

/** Chooses the device. */
export async function chooseDevice(
  choice: DeviceChoice,
  supported: readonly { name: string }[],
): Promise<DeviceReport> {
  if (choice === 'cpu') return { device: 'cpu', requested: choice, notes: [] };
  if (choice === 'auto') return { device: 'cpu', requested: choice, notes: [] };
  if (!supported.some(b => b.name === choice))
    throw new RefusedError(`The device "${choice}" is not in this build of ONNX Runtime.`);
  return { device: choice, requested: choice, notes: [] };
}
