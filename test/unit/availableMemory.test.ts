import assert from 'node:assert/strict';
import { arrayBytesLimit, availableBytes, availableFromVmStat } from '../../engine/runtime/availableMemory';
import { threadsOf } from '../../engine/runtime/ort';

/** As macOS writes it on a healthy machine with 16 GB: next to nothing is free, much can be had. */
const VM_STAT = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                4012.
Pages active:                            301882.
Pages inactive:                          299403.
Pages speculative:                         1514.
Pages throttled:                              0.
Pages wired down:                        128341.
Pages purgeable:                           3021.
"Translation faults":                 987654321.
`;

describe('memory that can be had', () => {
  it('on macOS counts what the system gives away when asked, not only what is free', () => {
    assert.equal(availableFromVmStat(VM_STAT), 16384 * (4012 + 299403 + 1514 + 3021));
    assert.equal(availableFromVmStat('something else'), null);
  });

  it('is never nothing', () => {
    for (const platform of ['darwin', 'linux', 'win32'] as const)
      assert.ok(availableBytes(platform) > 2 ** 20);
  });

  it('in Electron the arrays of JavaScript have a limit of their own', () => {
    assert.equal(arrayBytesLimit({ ...process.versions, electron: '37.2.3' }), 7 * 2 ** 30);
    const { electron: _, ...plain } = { electron: '', ...process.versions };
    assert.equal(arrayBytesLimit(plain as NodeJS.ProcessVersions), Infinity);
  });
});

describe('threads of a session', () => {
  it('are capped, and one on a GPU', () => {
    assert.equal(threadsOf('cpu', 2), 2);
    assert.equal(threadsOf('cpu', 64), 16);
    assert.equal(threadsOf('webgpu', 64), 1);
  });
});
