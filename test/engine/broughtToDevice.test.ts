import assert from 'node:assert/strict';
import { denseCore, denseOutput } from '../../engine/attention/kernels/dense';
import type { CoreInput } from '../../engine/attention/core';
import { profileCore } from '../../engine/measure/profile';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime, Session } from '../../engine/runtime/runtime';
import type { Feed } from '../../engine/runtime/tensor';
import { assertClose } from '../oracle/check';
import { coreZoo, randomCore } from '../oracle/dense';

/** A processor that says it is a device, and counts the bytes that one would be brought: of every run, and once of what it holds. */
function countingDevice(cpu: Runtime): { runtime: Runtime; bytes: () => number; held: () => number } {
  let bytes = 0;
  let held = 0;
  const holding = new Set<Feed>();
  const bytesOf = (feed: Feed) => ('onDevice' in feed ? 0 : feed.data.byteLength);
  const counted = (session: Session): Session => ({
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (feeds, ...others) => {
      for (const feed of Object.values(feeds)) if (!holding.has(feed)) bytes += bytesOf(feed);
      return session.run(feeds, ...others);
    },
    release: () => session.release(),
  });
  const runtime: Runtime = {
    report: { ...cpu.report, device: 'webgpu' },
    load: async (...of) => counted(await cpu.load(...of)),
    graph: async (...of) => counted(await cpu.graph(...of)),
    hold: tensors => {
      const feeds = Object.values<Feed>(tensors);
      for (const feed of feeds) {
        holding.add(feed);
        bytes += bytesOf(feed);
      }
      held += feeds.length;
      return Promise.resolve({
        feeds: tensors,
        release: () => {
          for (const feed of feeds) holding.delete(feed);
          held -= feeds.length;
        },
      });
    },
    dispose: () => cpu.dispose(),
  };
  return { runtime, bytes: () => bytes, held: () => held };
}

const bytesOf = ({ q, k, v }: CoreInput) => 4 * (q.length + k.length + v.length);

describe('what a core brings to a device', () => {
  let cpu: Runtime;
  before(async () => (cpu = await createRuntime('cpu')));
  after(() => cpu.dispose());

  for (const tokens of [2048, 4096]) {
    it(`is little more than its queries, keys and values: ${tokens} tokens`, async () => {
      const rule = { mask: { causal: true, window: null } };
      const input = randomCore(3, { heads: 4, queries: tokens, dim: 32, rule });
      const device = countingDevice(cpu);
      await denseOutput(input, { runtime: device.runtime, signal: neverCancelled });
      // With the masks and the queries brought for every block, 2 and 4 times as much.
      assert.ok(device.bytes() < 1.1 * bytesOf(input), `${device.bytes() / bytesOf(input)}`);
      assert.equal(device.held(), 0, 'nothing is held when the core is done');
    });
  }

  it('a window is made there as well', async () => {
    const rule = { mask: { causal: true, window: { before: 100, after: 0 } } };
    const input = randomCore(4, { heads: 4, queries: 2048, dim: 32, rule });
    const device = countingDevice(cpu);
    await denseCore(input, { runtime: device.runtime, signal: neverCancelled });
    assert.ok(device.bytes() < 1.1 * bytesOf(input), `${device.bytes() / bytesOf(input)}`);
  });

  it('a bias by offset is made there as well', async () => {
    const slopes = Float32Array.from({ length: 4 }, (_, head) => 2 ** -(head + 1));
    const rule = { bias: { kind: 'alibi', slopes } as const };
    const input = randomCore(6, { heads: 4, queries: 2048, dim: 32, rule });
    const device = countingDevice(cpu);
    await denseOutput(input, { runtime: device.runtime, signal: neverCancelled });
    assert.ok(device.bytes() < 1.2 * bytesOf(input), `${device.bytes() / bytesOf(input)}`);
  });

  it('is given back when the run is cancelled', async () => {
    const input = randomCore(5, { heads: 4, queries: 2048, dim: 32 });
    const device = countingDevice(cpu);
    const stop = new AbortController();
    const work = denseOutput(input, { runtime: device.runtime, signal: stop.signal });
    stop.abort();
    await assert.rejects(work);
    assert.equal(device.held(), 0);
  });

  for (const [name, input] of Object.entries(coreZoo(11))) {
    it(`gives the same as a processor: ${name}`, async () => {
      const context = { runtime: countingDevice(cpu).runtime, signal: neverCancelled };
      const { heads, kvHeads, dim, keys } = input;
      const marks = {
        ids: Int32Array.from({ length: keys }, (_, t) => t % 5),
        separator: new Uint8Array(keys),
        punctuation: new Uint8Array(keys),
      };
      const info = { core: 0, kind: 'self', layer: 0, heads, kvHeads, dim, mask: '', causal: true } as const;
      const there = await profileCore(input, info, marks, context);
      const here = await profileCore(input, info, marks, { ...context, runtime: cpu });
      assertClose(there.output, here.output, 'output', 1e-6);
      assertClose(there.entropy, here.entropy, 'entropy', 5e-5);
      assertClose(there.received, here.received, 'received', 1e-5);
    });
  }
});
