import { mechanisms } from '../../engine/attention/registry';
import { readParams } from '../../engine/attention/parameters';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { createRuntime } from '../../engine/runtime/ort';
import { run } from '../oracle/check';
import { randomInput } from '../oracle/inputs';

/** Parameters under which 64 tokens make several tiles, blocks, buckets or segments. */
const small: Record<string, Record<string, unknown>> = {
  local: { window: 9 },
  longformer: { window: 5, globals: '0+40' },
  bigbird: { block: 8 },
  'adaptive-span': { ramp: 4 },
  lsh: { bucketSize: 8 },
  'vertical-slash': { vertical: 34, slash: 104, last: 8 },
  'transformer-xl': { segment: 16, memory: 16 },
  compressive: { segment: 16, memory: 16, compressed: 8, rate: 2 },
  bp: { k: 2 },
  performer: { features: 40 },
  linformer: { rank: 12 },
  nystrom: { landmarks: 8, pinv: 'exact' },
  continuous: { basis: 16 },
};

/**
 * Runs every mechanism on the device named in the arguments and on the CPU, with the same own tensors, and prints the
 * largest difference of each as JSON. A process of its own, because drivers are chosen by the environment at its start.
 */
async function main(device: DeviceChoice): Promise<void> {
  const [gpu, cpu] = [await createRuntime(device), await createRuntime('cpu')];
  const differences: Record<string, number> = {};
  for (const mechanism of mechanisms) {
    for (const causal of [true, false]) {
      const input = randomInput({ queries: 64, heads: 4, kvHeads: 2, dim: 16, valueDim: 16, causal });
      const params = small[mechanism.info.name] ?? {};
      if (mechanism.refuses?.(input, readParams(mechanism.info, params))) continue;
      const expected = await run(mechanism, input, params, cpu);
      const found = await run(mechanism, input, params, gpu, expected.own);
      let worst = 0;
      expected.output.forEach((x, t) => {
        const off = Math.abs(found.output[t]! - x) / Math.max(1, Math.abs(x));
        worst = off <= worst ? worst : Number.isNaN(off) ? Infinity : off;
      });
      differences[`${mechanism.info.name}${causal ? ', causal' : ''}`] = worst;
    }
  }
  process.stdout.write(JSON.stringify({ device: gpu.report.device, differences }));
  process.exit(0);
}

void main(process.argv[2] as DeviceChoice);
