/**
 * A second thread that watches the process while ONNX Runtime has the first one: it ends the process when the memory goes
 * beyond the limit, and when its parent is gone. It sleeps while the first thread has nothing to do.
 */
import { Worker } from 'node:worker_threads';
import { LAST_WORDS } from './supervised';

const MIB = 2 ** 20;
/** What Node, ONNX Runtime and a small model take before any text is analysed. */
const BASE_BYTES = 160 * MIB;
/** Bytes a second, read and worked on. */
const SLOWEST_DISK = 20e6;
/**
 * A step in the load of a model takes no longer, beside the time for its weights. CPU time counts, up to the time by the clock: on a
 * crowded machine a sound model of half a gigabyte takes minutes. Of waiting (for a disk, a lock, other processes) a twentieth counts.
 */
export const STEP_SECONDS = 50;
const SHARE_OF_WAITING = 1 / 20;
/** Weights are read, packed for multiplication, and of 16 bits widened. */
export const COPIES_OF_WEIGHTS = 3;

/** Plain JavaScript, because it runs on its own whether this code is bundled or not. */
export const WATCH_PROGRAM = `
const { workerData: { shared, parent, lastWords } } = require('node:worker_threads');
const busy = new Int32Array(shared, 0, 1);
const limit = new Float64Array(shared, 8);
const end = words => {
  try { if (words) require('node:fs').writeSync(lastWords, words); } catch {}
  process.kill(process.pid, 'SIGKILL');
};
const worked = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
let [step, spent, last, cpu] = [0, 0, Date.now(), worked()];
for (let turn = 0; ; turn++) {
  Atomics.wait(busy, 0, 0);
  Atomics.wait(busy, 0, 1, 20);
  const [now, used] = [Date.now(), worked()];
  // No time passes while the machine sleeps.
  const passed = Math.min(now - last, 1000);
  const counted = Math.min(passed, Math.max(used - cpu, passed * ${SHARE_OF_WAITING}));
  spent = limit[2] === step ? spent + counted : 0;
  [step, last, cpu] = [limit[2], now, used];
  if (limit[3] > 0 && spent > 1000 * limit[3]) end('it takes more than ' + limit[3] + ' s to load');
  const bytes = process.memoryUsage.rss();
  if (bytes > limit[0])
    end('it took more than the memory limit of ' + Math.round(limit[1] / ${MIB}) + ' MiB');
  if (turn % 25 === 0 && process.ppid !== parent) end('');
}`;

class Watch {
  private readonly shared = new SharedArrayBuffer(40);
  private readonly busy = new Int32Array(this.shared, 0, 1);
  /** Bytes at which the process ends, and the limit that is named then; the step of a load, and the seconds that it may take (0: any). */
  private readonly bounds = new Float64Array(this.shared, 8, 4).fill(Infinity, 0, 2);
  private stepSeconds: number | null = null;
  private works = 0;
  private started = false;
  private limit = Infinity;
  private weights = 0;

  /** For processes that are made to be ended; with `stepSeconds`, also by a step of a load that takes longer. */
  start({ stepSeconds = null }: { stepSeconds?: number | null } = {}): void {
    this.stepSeconds = stepSeconds;
    if (this.started) return;
    this.started = true;
    const worker = new Worker(WATCH_PROGRAM, {
      eval: true,
      workerData: { shared: this.shared, parent: process.ppid, lastWords: LAST_WORDS },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
    });
    worker.unref();
    worker.on('error', () => undefined);
  }

  /** The memory that analyses may take, beside the weights of models. */
  allow(limitMiB: number): void {
    this.limit = limitMiB * MIB;
    this.update();
  }

  get allowedBytes(): number {
    return this.limit;
  }

  /** A model of so many bytes is loaded from now on, until the answer is called. */
  expectWeights(bytes: number): () => void {
    const add = (change: number) => {
      this.weights += change;
      this.update();
    };
    add(bytes);
    let gone = false;
    return () => {
      if (!gone) add(-bytes);
      gone = true;
    };
  }

  /** A step in the load of a model of so many bytes begins. */
  beginStep(bytes: number): void {
    if (this.stepSeconds === null) return;
    this.bounds[2]!++;
    this.bounds[3] = Math.ceil(this.stepSeconds + bytes / SLOWEST_DISK);
  }

  endSteps(): void {
    this.bounds[3] = 0;
  }

  /** Watches while the work goes on. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.setBusy(++this.works);
    try {
      return await work();
    } finally {
      this.setBusy(--this.works);
    }
  }

  private setBusy(works: number): void {
    Atomics.store(this.busy, 0, works > 0 ? 1 : 0);
    Atomics.notify(this.busy, 0);
  }

  private update(): void {
    this.bounds[0] = BASE_BYTES + this.limit + COPIES_OF_WEIGHTS * this.weights;
    this.bounds[1] = this.limit;
  }
}

/** Of this process. */
export const watch = new Watch();
