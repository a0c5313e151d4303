import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

describe('the watch over a step of a load', function () {
  this.timeout(120_000);

  const step = (how: string, seconds: number) => {
    const program = join(import.meta.dirname, 'stepOfLoad.ts');
    const stdio = ['ignore', 'pipe', 'ignore', 'ignore', 'pipe'] as const;
    const child = spawnSync(process.execPath, ['--import=tsx', program, how, String(seconds)], {
      stdio: [...stdio],
      encoding: 'utf8',
    });
    return { lives: child.stdout === 'lives', said: child.output[4] };
  };

  it('does not end what other processes keep from working', () => {
    assert.deepEqual(step('waits', 3), { lives: true, said: '' });
  });

  it('ends what works on and on', () => {
    assert.deepEqual(step('works', 60), { lives: false, said: 'it takes more than 1 s to load' });
  });
});
