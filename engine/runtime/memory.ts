import { freemem } from 'node:os';
import { RefusedError } from '../errors';

const MIB = 2 ** 20;

/** What is free now, less a reserve for everybody else. */
export function defaultLimitMiB(): number {
  return Math.floor((freemem() * 0.6) / MIB);
}

/**
 * Refuses before anything is allocated when the estimate is beyond the limit, or beyond what the machine has free.
 * `what` starts the sentence: "An analysis of 9000 tokens with this model".
 */
export function refuseUnlessFits(bytes: number, limitMiB: number, what: string): void {
  const needed = Math.ceil(bytes / MIB);
  if (needed > limitMiB) {
    throw new RefusedError(`${what} needs about ${needed} MiB of memory; the limit is ${limitMiB} MiB.`);
  }
  const free = Math.floor(freemem() / MIB);
  if (needed > free) {
    throw new RefusedError(`${what} needs about ${needed} MiB of memory; ${free} MiB are free.`);
  }
}
