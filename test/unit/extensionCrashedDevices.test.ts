import assert from 'node:assert/strict';
import { CrashedDevices } from '../../extension/engine/crashedDevices';
import type { DeviceReport } from '../../shared/protocol/engine';
import { Memory } from '../support/memory';

const on = (device: DeviceReport['device'], adapter: string | null): DeviceReport => ({
  ...{ device, adapter, requested: 'auto', notes: [] },
});
const gpu = { device: 'webgpu', adapter: 'A GPU' } as const;
const native = { native: true };

function crashOnGpu(memory: Memory, version = '1.0.0'): CrashedDevices {
  const devices = new CrashedDevices(memory, version);
  devices.uses(on(gpu.device, gpu.adapter));
  assert.deepEqual(devices.died(native), gpu);
  return devices;
}

describe('extension: devices whose drivers crash', () => {
  it('are remembered on this machine for this version, and forgotten when asked', async () => {
    const memory = new Memory();
    crashOnGpu(memory);
    crashOnGpu(memory);
    const next = new CrashedDevices(memory, '1.0.0');
    assert.deepEqual(next.all, [gpu]);
    assert.deepEqual(new CrashedDevices(memory, '1.0.1').all, []);
    await next.forget();
    assert.deepEqual(new CrashedDevices(memory, '1.0.0').all, []);
  });

  it('are not blamed for deaths in nothing native, nor before a device is used, nor for those on the CPU', () => {
    const devices = new CrashedDevices(new Memory(), '1.0.0');
    assert.equal(devices.died(native), null);
    devices.uses(on(gpu.device, gpu.adapter));
    assert.equal(devices.died({ native: false }), null);
    devices.uses(on('cpu', null));
    assert.equal(devices.died(native), null);
    assert.deepEqual(devices.all, []);
  });

  it('are not blamed for a model that ends the engine on the CPU as well', () => {
    const devices = crashOnGpu(new Memory());
    devices.uses(on('cpu', null));
    assert.equal(devices.died(native), null);
    assert.deepEqual(devices.all, []);
  });

  it('stay blamed once something has run on the CPU', () => {
    const devices = crashOnGpu(new Memory());
    devices.uses(on('cpu', null));
    devices.ran();
    assert.equal(devices.died(native), null);
    assert.deepEqual(devices.all, [gpu]);
  });
});
