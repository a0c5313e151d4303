/** How long jobs still take, told from what was done of them. */

/** Of so small a part, and so few seconds, nothing is told of the rest. */
const LEAST_DONE = 0.02;
const LEAST_SECONDS = 3;

const now = () => performance.now() / 1000;

/**
 * Seconds that are left of a job, given which share of its time or work is done; null while that cannot be told. A job may
 * begin in the midst of a longer one.
 */
export function timeLeft(clock = now): (done: number) => number | null {
  const began = clock();
  let first: number | null = null;
  return done => {
    first ??= done;
    const [seconds, share] = [clock() - began, done - first];
    return share < LEAST_DONE || seconds < LEAST_SECONDS ? null : (seconds * (1 - done)) / share;
  };
}

/** What a plan may take, and what is known of it beforehand. */
export interface PlanTime {
  maxRuns: number;
  /** Made in any case. */
  leastRuns: number;
  /** As long as none was made. */
  secondsOfRun: number;
  /** It makes fewer runs rather than take longer. */
  maxSeconds: number;
}

/** Comparing the baselines' settings takes about so much of what comparing the candidates took. */
const BASELINES = 0.35;
/** Comparisons that take more than this of the time press: runs of the model correct what they leave out. */
const PRESSING = 1 / 4;
/** So small a part of them tells nothing. */
const TELLING = 0.02;

/** How far a plan is, and how much it can still do: first every head is compared with its candidates, then the model runs. */
export class PlanClock {
  private readonly began: number;
  /** Of comparing every head with its candidates: what is thought to be needed in all, and what of the like comes later. */
  private exploration = { done: 0, seconds: 0 };
  private toCompare = 0;
  private runs = 0;
  private ofRuns = 0;

  constructor(
    private readonly time: PlanTime,
    private readonly clock = now,
  ) {
    this.began = clock();
  }

  /** Of the comparisons of single heads, such a share is done. Returns the share of the plan's time that is gone. */
  exploring(share: number): number {
    if (share <= 0) return 0;
    const seconds = this.taken / share;
    this.exploration = { done: share, seconds };
    this.toCompare = seconds * (1 - share + BASELINES);
    return this.gone();
  }

  /** Whether comparing takes so much of the time that some of it is to be left out. */
  get presses(): boolean {
    const { done, seconds } = this.exploration;
    return done >= TELLING && seconds > PRESSING * this.time.maxSeconds;
  }

  /** Nothing more than single settings is compared from here on. */
  comparedBaselines(): void {
    this.toCompare = 0;
  }

  /** One more run is done. */
  ran(seconds: number): number {
    this.runs++;
    this.ofRuns += seconds;
    return this.gone();
  }

  /** Runs for which there is time. */
  get left(): number {
    const seconds = this.time.maxSeconds - this.taken - this.toCompare;
    return Math.max(0, Math.floor(seconds / this.secondsOfRun));
  }

  private gone(): number {
    const { maxRuns, leastRuns } = this.time;
    const runs = Math.min(maxRuns, Math.max(leastRuns, this.runs + this.left)) - this.runs;
    const left = this.toCompare + this.secondsOfRun * Math.max(0, runs);
    return this.taken / (this.taken + left);
  }

  private get taken(): number {
    return this.clock() - this.began;
  }

  private get secondsOfRun(): number {
    return this.runs === 0 ? this.time.secondsOfRun : this.ofRuns / this.runs;
  }
}
