import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildCli, ROOT } from '../fixtures/cli';
import { softwareVulkanEnvironment } from '../support/softwareVulkan';

interface Analysis {
  device: string;
  tokens: number;
  loss: { mean: number };
  layers: { heads: { entropy: number; meanDistance: number }[] }[];
}

describe('analyze --device webgpu', function () {
  this.timeout(240_000);
  let folder: string;
  let cli: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'attention-inspector-webgpu-'));
    cli = await buildCli();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function analyze(device: string, env: Record<string, string>): Promise<Analysis & { said: string }> {
    const json = join(folder, `${device}.json`);
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [
        ...[cli, 'analyze', join(ROOT, 'test/fixtures/sample.txt')],
        ...['--max-tokens', '64', '--device', device, '--json', json],
      ],
      { cwd: ROOT, env: { ...process.env, ...env } },
    );
    return { ...(JSON.parse(readFileSync(json, 'utf8')) as Analysis), said: stdout + stderr };
  }

  it('runs on the software Vulkan and gives what the CPU gives', async function () {
    const env = await softwareVulkanEnvironment();
    if (!env) {
      console.log('      SKIPPED: no SwiftShader beside a Chromium');
      return this.skip();
    }
    const [cpu, gpu] = [await analyze('cpu', {}), await analyze('webgpu', env)];
    assert.equal(cpu.device, 'cpu');
    assert.equal(gpu.device, 'webgpu');
    assert.equal(gpu.tokens, 64);
    let largest = Math.abs(gpu.loss.mean - cpu.loss.mean);
    cpu.layers.forEach((layer, at) =>
      layer.heads.forEach((head, h) => {
        const other = gpu.layers[at]!.heads[h]!;
        largest = Math.max(largest, Math.abs(head.entropy - other.entropy));
      }),
    );
    console.log(`      largest difference ${largest.toExponential(1)}`);
    // Through six layers, with 16-bit weights and another order of sums.
    assert.ok(largest < 1e-3, `${largest}`);
  });

  it('auto leaves a software GPU that is slower than the CPU, and says so', async function () {
    const env = await softwareVulkanEnvironment();
    if (!env) {
      console.log('      SKIPPED: no SwiftShader beside a Chromium');
      return this.skip();
    }
    const { device, said } = await analyze('auto', env);
    assert.equal(device, 'cpu');
    assert.match(said, /WebGPU is not used: it is slower here than the CPU \([\d.]+ ms against [\d.]+ ms/);
  });

  it('falls back to the CPU where there is no adapter, and says why', async () => {
    // A loader that knows of no driver: WebGPU finds no adapter, whatever the machine has.
    const none = { VK_ICD_FILENAMES: join(folder, 'none.json'), VK_DRIVER_FILES: join(folder, 'none.json') };
    const { device, said } = await analyze('auto', none);
    assert.equal(device, 'cpu');
    assert.match(said, /WebGPU is not used: .*adapter/);
  });
});
