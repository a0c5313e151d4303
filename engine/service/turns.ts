import { CancelledError } from '../errors';

/** Long jobs go one after another; requests that are answered at once slip in between their blocks. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs the job when all before it are done. One that is cancelled while it waits never starts. */
  take<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = this.last.then(() => {
      if (signal.aborted) throw new CancelledError();
      return job();
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    await this.last;
  }
}
