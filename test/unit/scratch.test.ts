import assert from 'node:assert/strict';
import type { Runtime } from '../../engine/runtime/runtime';
import { withScratch, type Scratch } from '../../engine/runtime/scratch';

describe('scratch buffers', () => {
  const runtime = {} as Runtime;
  const buffer = (scratch: Scratch) => scratch.floats('x', 8).buffer;

  it('are lent to one at a time, and used again', async () => {
    let finish = () => {};
    let first: unknown;
    const running = withScratch(runtime, async scratch => {
      first = buffer(scratch);
      await new Promise<void>(resolve => (finish = resolve));
    });
    const beside = await withScratch(runtime, async scratch => buffer(scratch));
    assert.notEqual(beside, first);
    finish();
    await running;
    assert.equal(await withScratch(runtime, async scratch => buffer(scratch)), first);
    await assert.rejects(
      withScratch(runtime, async scratch => {
        assert.equal(buffer(scratch), first);
        throw new Error('stopped');
      }),
    );
    assert.equal(await withScratch(runtime, async scratch => buffer(scratch)), first);
  });

  it('grow, and large ones are not kept', async () => {
    const size = (length: number) =>
      withScratch(runtime, async scratch => scratch.floats('x', length).buffer.byteLength);
    assert.equal(await size(100), 400);
    assert.equal(await size(50), 400);
    assert.equal(await size(2 ** 24), 2 ** 26);
    assert.ok((await size(50)) < 2 ** 26);
  });
});
