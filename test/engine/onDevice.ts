import { profileCore } from '../../engine/measure/profile';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { coreZoo } from '../oracle/dense';

/**
 * Runs the dense core with all measures on the device named in the arguments and on the CPU, and prints the largest
 * difference per core as JSON. A process of its own, because drivers are chosen by the environment at its start.
 */
async function main(device: DeviceChoice, names: string[]): Promise<void> {
  const [gpu, cpu] = [await createRuntime(device), await createRuntime('cpu')];
  const cores: Record<string, number> = {};
  for (const name of names) {
    const input = coreZoo()[name]!;
    const marks = {
      ids: Int32Array.from({ length: input.keys }, (_, t) => t % 5),
      separator: new Uint8Array(input.keys),
      punctuation: new Uint8Array(input.keys),
    };
    const { heads, kvHeads, dim } = input;
    const info = { core: 0, kind: 'self', layer: 0, heads, kvHeads, dim, mask: '', causal: true } as const;
    const [found, expected] = await Promise.all(
      [gpu, cpu].map(runtime => profileCore(input, info, marks, { runtime, signal: neverCancelled })),
    );
    let difference = 0;
    const compare = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      for (let t = 0; t < b.length; t++) {
        if (a[t] === b[t]) continue;
        const off = Math.abs(a[t]! - b[t]!) / Math.max(1, Math.abs(b[t]!));
        difference = off <= difference ? difference : Number.isNaN(off) ? Infinity : off;
      }
    };
    compare(found!.output, expected!.output);
    compare(found!.lse, expected!.lse);
    compare(found!.entropy, expected!.entropy);
    compare(found!.received, expected!.received);
    compare(found!.byDistance, expected!.byDistance);
    for (const measure of ['meanDistance', 'span90', 'span99'] as const) {
      compare(
        found!.heads.map(head => head[measure]),
        expected!.heads.map(head => head[measure]),
      );
    }
    cores[name] = difference;
  }
  process.stdout.write(JSON.stringify({ device: gpu.report.device, cores }));
  process.exit(0);
}

void main(process.argv[2] as DeviceChoice, process.argv.slice(3));
