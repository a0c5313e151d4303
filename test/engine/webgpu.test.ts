import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { softwareVulkanEnvironment } from '../support/softwareVulkan';

describe('WebGPU', () => {
  it('dense core and measures equal the CPU to 1e-4', async function () {
    this.timeout(300_000);
    const environment = await softwareVulkanEnvironment();
    if (!environment) {
      console.log('      SKIPPED: no software Vulkan was found (SwiftShader comes with Chromium)');
      return this.skip();
    }
    const names = ['soft cap', 'grouped queries', 'alibi', 'multi-query, full', 'opaque', 'two-sided window'];
    const script = join(__dirname, 'onDevice.ts');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import=tsx', script, 'webgpu', ...names],
      { env: { ...process.env, ...environment } },
    );
    const { device, cores } = JSON.parse(stdout) as { device: string; cores: Record<string, number> };
    assert.equal(device, 'webgpu');
    for (const name of names) assert.ok(cores[name]! <= 1e-4, `${name}: ${cores[name]}`);
    console.log(`      largest difference ${Math.max(...Object.values(cores)).toExponential(1)}`);
  });
});
