import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import type { Readable } from 'node:stream';
import { howItEnded, LAST_WORDS } from '../../engine/runtime/supervised';
import { buildProgram } from '../fixtures/cli';
import type { Task } from './cases';
import type { Outcome } from './victim';

/** A case that takes longer hangs. */
export const SECONDS = 60;
/** Of the engine's memory. */
export const LIMIT_MIB = 1024;

/** How many processes share a core: where others run as well, everything takes longer. */
const crowding = (): number => Math.max(1, loadavg()[1]! / availableParallelism());

/** Bundled as the engine is: TypeScript's loader would take memory of its own. */
export const buildVictim = () => buildProgram('victim', 'test/fuzz/victim.ts');

/** The process ended: by our hand, with a sentence for the user (its last words), or natively. */
export type Ended = { ended: 'hangs' } | { ended: 'told'; message: string } | { ended: 'crashed' };

/** An engine process, its memory watched from outside. */
export class VictimProcess {
  peakMiB = 0;
  private lastWords = '';

  private constructor(private readonly child: ChildProcess) {
    const words = child.stdio[LAST_WORDS] as Readable | null;
    words?.on('data', (part: Buffer) => (this.lastWords += part.toString('utf8')));
  }

  static async start(program: string): Promise<VictimProcess> {
    const child = fork(program, [String(LIMIT_MIB)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    });
    const victim = new VictimProcess(child);
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('close', () => reject(new Error('the engine process did not start')));
    });
    child.removeAllListeners();
    return victim;
  }

  ask(task: Task): Promise<Outcome | Ended> {
    return new Promise(resolve => {
      const began = performance.now();
      const watch = setInterval(() => {
        this.lookAtMemory();
        if (performance.now() - began > 1000 * SECONDS * crowding()) finish({ ended: 'hangs' });
      }, 100);
      const finish = (outcome: Outcome | Ended) => {
        clearInterval(watch);
        this.child.removeAllListeners();
        resolve(outcome);
      };
      this.child.once('message', message => {
        this.lookAtMemory();
        finish(message as Outcome);
      });
      this.child.once('close', (code, signal) =>
        finish(
          this.lastWords
            ? { ended: 'told', message: howItEnded(task.folder, this.lastWords, code, signal) }
            : { ended: 'crashed' },
        ),
      );
      this.child.send(task);
    });
  }

  /** What the process has taken at most; Linux only. */
  private lookAtMemory(): void {
    try {
      const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
      const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
      this.peakMiB = Math.max(this.peakMiB, peak);
    } catch {
      // It has ended.
    }
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}
