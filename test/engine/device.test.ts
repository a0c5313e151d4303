import assert from 'node:assert/strict';
import { Engine } from '../../engine/engine';
import { DeviceRefusedError } from '../../engine/errors';
import { chooseDevice, type Backend } from '../../engine/runtime/device';
import { adapterIn, testInChild, type Verdict } from '../../engine/runtime/selfTest';
import type { DeviceReport } from '../../shared/protocol/engine';

const backends: Backend[] = [
  { name: 'cpu', bundled: true },
  { name: 'webgpu', bundled: true },
  { name: 'cuda', bundled: false },
  { name: 'dml', bundled: true },
  { name: 'coreml', bundled: true },
];

const passes: Verdict = { failure: null, times: { device: 1, cpu: 4 }, adapter: 'A GPU' };
const fails = (failure: string): Verdict => ({ failure, times: null, adapter: null });
const slow: Verdict = { failure: null, times: { device: 210, cpu: 4 }, adapter: null };

describe('device', () => {
  it('auto takes the first provider that passes, and says why earlier ones were not taken', async () => {
    const tried: string[] = [];
    const report = await chooseDevice('auto', backends, async device => {
      tried.push(device);
      return device === 'webgpu' ? fails('no adapter') : passes;
    });
    assert.deepEqual(tried, ['webgpu', 'coreml']);
    assert.deepEqual(report, {
      device: 'coreml',
      requested: 'auto',
      adapter: 'A GPU',
      notes: ['WebGPU is not used: no adapter.'],
    });
  });

  it('auto falls back to the CPU with a note per provider', async () => {
    const report = await chooseDevice('auto', backends, async () => fails('it is broken'));
    assert.equal(report.device, 'cpu');
    assert.equal(report.notes.length, 2);
  });

  it('a device asked for by name is refused with the reason', async () => {
    await assert.rejects(
      chooseDevice('cuda', backends, async () => fails('a library is missing')),
      (error: Error) =>
        error instanceof DeviceRefusedError &&
        error.message === 'CUDA cannot be used here: a library is missing.',
    );
    await assert.rejects(
      chooseDevice('coreml', backends.slice(0, 2), async () => passes),
      { name: 'RefusedError', message: /does not have it/ },
    );
  });

  it('does not take a device whose driver crashed here, however it is asked for, and says what to do', async () => {
    const crashed = [{ device: 'webgpu', adapter: 'A GPU' }] as const;
    for (const choice of ['auto', 'webgpu'] as const) {
      const report = await chooseDevice(choice, backends.slice(0, 2), async () => passes, crashed);
      assert.deepEqual([report.device, report.adapter], ['cpu', null]);
      assert.deepEqual(report.notes, [
        'WebGPU is not used: its driver crashed here; "Attention: Restart Engine" tries it again.',
      ]);
    }
    const another = async () => ({ ...passes, adapter: 'Another GPU' });
    assert.equal((await chooseDevice('auto', backends.slice(0, 2), another, crashed)).device, 'webgpu');
  });

  it('the engine tells where it runs before a model is loaded', async () => {
    const told: unknown[] = [];
    const engine = new Engine((name, said) => {
      if (name === 'device/used') told.push((said as DeviceReport).device);
    });
    const missing = engine.request('models/load', { ref: '/none/model.onnx', device: 'cpu' });
    await assert.rejects(missing, { name: 'RefusedError' });
    assert.deepEqual(told, ['cpu']);
    await engine.dispose();
  });

  it('auto does not take a device that is slower than the CPU, and says so', async () => {
    const report = await chooseDevice('auto', backends.slice(0, 2), async () => slow);
    assert.equal(report.device, 'cpu');
    assert.deepEqual(report.notes, [
      'WebGPU is not used: it is slower here than the CPU (210 ms against 4.0 ms for a block of attention; no GPU was found, the adapter is software).',
    ]);
  });

  it('a slow device that is asked for by name is used, with a note', async () => {
    const { device, notes } = await chooseDevice('webgpu', backends, async () => slow);
    assert.equal(device, 'webgpu');
    assert.match(notes[0] ?? '', /^WebGPU is used as asked, though it is slower here than the CPU/);
  });

  it('reads the GPUs from what ONNX Runtime discovered', () => {
    const line = (fields: string) => `[I] x.cc:34 operator()] Discovered OrtHardwareDevice {${fields}}\n`;
    const cpu = line('vendor_id:0x1022, device_id:0x0, vendor:AMD, type:0, metadata: []');
    const gpu = line(
      'vendor_id:0x10de, device_id:0x2330, vendor:NVIDIA, type:1, metadata: [Description=NVIDIA H200, Discrete=1]',
    );
    assert.equal(adapterIn(cpu), null);
    assert.equal(adapterIn(cpu + gpu), 'NVIDIA H200');
    assert.equal(
      adapterIn(line('vendor_id:0x8086, device_id:0x1, vendor:Intel, type:1, metadata: []')),
      'Intel',
    );
  });

  it('the CPU needs no test', async () => {
    const report = await chooseDevice('cpu', backends, async () => assert.fail('tested'));
    assert.equal(report.device, 'cpu');
  });

  it('the self-test passes on the CPU itself', async () => {
    assert.equal((await testInChild('cpu', 60_000)).failure, null);
  }).timeout(60_000);

  it('a self-test that does not end is given up', async () => {
    assert.match((await testInChild('cpu', 1)).failure ?? '', /did not end/);
  });

  it('a provider that is not there is a reason in one clause', async () => {
    const { failure: reason } = await testInChild('coreml', 60_000);
    if (process.platform === 'darwin') return;
    assert.ok(reason !== null && !reason.includes('\n'), String(reason));
  }).timeout(60_000);
});
