/** A step of a load that may take a second: `stepOfLoad.ts waits|works SECONDS` lives through it, or is ended by the watch. */
import { watch } from '../../engine/runtime/watch';

async function main([how, seconds]: string[]): Promise<void> {
  watch.start({ stepSeconds: 1 });
  await watch.during(async () => {
    watch.beginStep(0);
    const end = performance.now() + 1000 * Number(seconds);
    // Both hold the thread, as ONNX Runtime does.
    if (how === 'waits') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * Number(seconds));
    else while (performance.now() < end);
    watch.endSteps();
  });
  process.stdout.write('lives');
}

void main(process.argv.slice(2));
