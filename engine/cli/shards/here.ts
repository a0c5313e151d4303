/** Shards in processes of this machine, side by side. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { THREADS } from '../../runtime/ort';
import type { ShardEnd, ShardHooks, ShardRunner, ShardTask } from './shards';

export const runHere: ShardRunner = async (tasks, hooks) => {
  const threads = Math.max(1, Math.floor(availableParallelism() / tasks.length));
  let ended = 0;
  return Promise.all(
    tasks.map(async task => {
      const end = await runOne(task, threads, hooks);
      hooks.onEnded(++ended);
      return end;
    }),
  );
};

/**
 * For the C library of Linux (others read past it): one pool of memory for all threads. With a pool for each thread a worker takes
 * a tenth to a quarter more, and there are several.
 */
const SPARING = { MALLOC_ARENA_MAX: '1' };

function runOne(task: ShardTask, threads: number, { signal, onLine }: ShardHooks): Promise<ShardEnd> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = task.command;
    const child = spawn(program!, args, {
      env: { [THREADS]: String(threads), ...SPARING, ...process.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let last = '';
    createInterface({ input: child.stderr }).on('line', line => {
      last = line;
      if (line.startsWith('skipped ')) onLine(line);
    });
    const stop = () => child.kill('SIGINT');
    signal.addEventListener('abort', stop);
    child.on('error', reject);
    child.on('close', code => {
      signal.removeEventListener('abort', stop);
      resolve({ task, code, last });
    });
  });
}
