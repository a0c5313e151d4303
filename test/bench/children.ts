import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Timing } from './analysis';
import type { JobName } from './jobs';
import type { LongJob } from './long';

/** What is timed in a process of its own, so that its peak memory is its own. */
export type Job =
  | { run: 'write' | 'writeWhole' | 'load'; onnx: string }
  | { run: 'plain' | 'analysis'; onnx: string; tokens: number }
  | { run: 'checks'; lengths: readonly number[] }
  | { run: 'long'; long: LongJob }
  | { run: 'job'; job: JobName; tokens: number };

export function inChild<Result = Timing>(job: Job): Promise<Result> {
  return new Promise((resolve, reject) => {
    // A collector in threads of its own would be counted with whatever runs while it does, not with what left the garbage.
    const own = job.run === 'checks' ? ['--single-threaded-gc'] : [];
    const execArgv = [...process.execArgv, ...own];
    const child = fork(join(__dirname, 'benchChild.cjs'), [JSON.stringify(job)], { execArgv });
    let result: Result | null = null;
    child.on('message', message => (result = message as Result));
    child.on('error', reject);
    child.on('exit', code =>
      result ? resolve(result) : reject(new Error(`the ${job.run} run ended with ${code}`)),
    );
  });
}
