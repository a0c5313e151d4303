import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { abortedAfter } from '../../engine/runtime/cancellation';

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));

describe('a limit of time', () => {
  it('is not forgotten when garbage is collected', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const reasons: unknown[] = [];
    const listen = () => {
      const any = AbortSignal.any([new AbortController().signal, abortedAfter(100)]);
      any.addEventListener('abort', () => reasons.push(any.reason));
    };
    listen();
    for (let i = 0; i < 4; i++) {
      await pause(10);
      collect();
    }
    await pause(200);
    assert.deepEqual(
      reasons.map(reason => (reason as Error).name),
      ['TimeoutError'],
    );
  });
});
