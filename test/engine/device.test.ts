import assert from 'node:assert/strict';
import { chooseDevice, type Backend } from '../../engine/runtime/device';
import { testInChild } from '../../engine/runtime/selfTest';

const backends: Backend[] = [
  { name: 'cpu', bundled: true },
  { name: 'webgpu', bundled: true },
  { name: 'cuda', bundled: false },
  { name: 'dml', bundled: true },
];

describe('device', () => {
  it('auto takes the first provider that passes, and says why earlier ones were not taken', async () => {
    const tried: string[] = [];
    const report = await chooseDevice('auto', backends, async device => {
      tried.push(device);
      return device === 'webgpu' ? 'no adapter' : null;
    });
    assert.deepEqual(tried, ['webgpu', 'dml']);
    assert.deepEqual(report, {
      device: 'dml',
      requested: 'auto',
      notes: ['WebGPU is not used: no adapter.'],
    });
  });

  it('auto falls back to the CPU with a note per provider', async () => {
    const report = await chooseDevice('auto', backends, async () => 'it is broken');
    assert.equal(report.device, 'cpu');
    assert.equal(report.notes.length, 2);
  });

  it('a device asked for by name is refused with the reason', async () => {
    await assert.rejects(
      chooseDevice('cuda', backends, async () => 'a library is missing'),
      { name: 'RefusedError', message: 'CUDA cannot be used here: a library is missing.' },
    );
    await assert.rejects(
      chooseDevice('coreml', backends, async () => null),
      { name: 'RefusedError', message: /does not have it/ },
    );
  });

  it('the CPU needs no test', async () => {
    const report = await chooseDevice('cpu', backends, async () => assert.fail('tested'));
    assert.equal(report.device, 'cpu');
  });

  it('the self-test passes on the CPU itself', async () => {
    assert.equal(await testInChild('cpu', 60_000), null);
  }).timeout(60_000);

  it('a self-test that does not end is given up', async () => {
    assert.match((await testInChild('cpu', 1)) ?? '', /did not end/);
  });

  it('a provider that is not there is a reason in one clause', async () => {
    const reason = await testInChild('coreml', 60_000);
    if (process.platform === 'darwin') return;
    assert.ok(reason !== null && !reason.includes('\n'), String(reason));
  }).timeout(60_000);
});
