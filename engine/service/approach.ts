/** A setting that spends this much of its share is near enough: each further try is a whole run. */
const NEAR = 0.94;
const AIM = 0.97;
const TRIES = 7;
/** Estimates are not so far off that more than this would have to be asked for. */
const MOST = 4;

interface Try {
  asked: number;
  spent: number;
}

/**
 * What to ask a family of settings for, so that it really spends a share: asks, is told what was spent, and asks again
 * (between what was too little and what was too much, once there is both).
 */
export class Approach {
  /** To be asked for next; null = done. */
  asked: number | null;
  private low: Try = { asked: 0, spent: 0 };
  private high: Try | null = null;
  private tries = 0;

  constructor(private readonly share: number) {
    this.asked = share;
  }

  /** What was spent under the setting that was asked for; null = there is none. */
  told(spent: number | null): void {
    const asked = this.asked;
    this.tries++;
    this.asked = null;
    const near = spent !== null && spent <= this.share && spent >= NEAR * this.share;
    if (asked === null || spent === null || near || this.tries === TRIES) return;
    if (spent > this.share) this.high = { asked, spent };
    else this.low = { asked, spent };
    const next = this.next();
    if (next > 0 && next <= MOST) this.asked = next;
  }

  private next(): number {
    const { low, high } = this;
    const aim = AIM * this.share;
    if (!high) return (low.asked * aim) / low.spent;
    if (low.spent === 0) return (low.asked + high.asked) / 2;
    // As a power of what is asked for, away from both ends.
    const part = Math.log(aim / low.spent) / Math.log(high.spent / low.spent);
    return low.asked * (high.asked / low.asked) ** Math.min(0.9, Math.max(0.1, part));
  }
}
