import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { mechanisms } from '../../engine/attention/registry';
import { softwareVulkanEnvironment } from '../support/softwareVulkan';

describe('mechanisms on WebGPU', () => {
  it('equal the CPU to 1e-4, every one of them', async function () {
    this.timeout(300_000);
    const environment = await softwareVulkanEnvironment();
    if (!environment) {
      console.log('      SKIPPED: no software Vulkan was found (SwiftShader comes with Chromium)');
      return this.skip();
    }
    const script = join(__dirname, 'mechanismsOnDevice.ts');
    const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', script, 'webgpu'], {
      env: { ...process.env, ...environment },
    });
    const { device, differences } = JSON.parse(stdout) as {
      device: string;
      differences: Record<string, number>;
    };
    assert.equal(device, 'webgpu');
    const run = new Set(Object.keys(differences).map(name => name.split(',')[0]));
    assert.deepEqual([...run].sort(), mechanisms.map(m => m.info.name).sort());
    for (const [name, difference] of Object.entries(differences)) {
      assert.ok(difference <= 1e-4, `${name}: ${difference}`);
    }
    console.log(`      largest difference ${Math.max(...Object.values(differences)).toExponential(1)}`);
  });
});
