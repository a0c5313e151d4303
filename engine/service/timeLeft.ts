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

/** How far a plan is, as a share of its time: first every head is compared with its candidates, then the model runs. */
export class PlanClock {
  private readonly began: number;
  private explored: number;
  private runs = 0;

  /** `secondsOfRun`: as long as none was made. */
  constructor(
    private readonly maxRuns: number,
    private readonly secondsOfRun: number,
    private readonly clock = now,
  ) {
    this.began = this.explored = clock();
  }

  /** Of the comparisons of single heads, such a share is done. */
  exploring(share: number): number {
    this.explored = this.clock();
    const taken = this.explored - this.began;
    if (share <= 0) return 0;
    return taken / (taken / share + this.maxRuns * this.secondsOfRun);
  }

  /** One more run is done. What is compared between the runs counts with them. */
  ran(): number {
    this.runs++;
    const seconds = this.clock();
    const [taken, ofRuns] = [seconds - this.began, seconds - this.explored];
    return taken / (taken + (ofRuns / this.runs) * Math.max(0, this.maxRuns - this.runs));
  }
}
