import { totalmem } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { OutOfMemoryError, told } from '../errors';
import { fileSize } from '../../shared/numbers';
import { arrayBytesLimit, availableBytes } from './availableMemory';

const MIB = 2 ** 20;

/** What is free now, less a reserve for everybody else. */
export function defaultLimitMiB(): number {
  return Math.floor(Math.min(availableBytes() * 0.6, arrayBytesLimit()) / MIB);
}

/**
 * Refuses before anything is allocated when the estimate is beyond the limit, or beyond what the machine has free.
 * `what` starts the sentence: "An analysis of 9000 tokens with this model".
 */
export function refuseUnlessFits(bytes: number, limitMiB: number, what: string): void {
  const needed = Math.ceil(bytes / MIB);
  limitMiB = Math.min(limitMiB, Math.floor(arrayBytesLimit() / MIB));
  if (needed > limitMiB) {
    throw new OutOfMemoryError(
      told`${what} needs about ${needed} MiB of memory; the limit is ${limitMiB} MiB.`,
    );
  }
  const free = Math.floor(availableBytes() / MIB);
  if (needed > free) {
    throw new OutOfMemoryError(told`${what} needs about ${needed} MiB of memory; ${free} MiB are free.`);
  }
}

/**
 * Refuses weights that the machine cannot hold, before any of them is read: a file with holes may claim any size.
 * @throws OutOfMemoryError
 */
export function refuseUnlessHeld(bytes: number, name: string, memory = totalmem()): void {
  if (bytes <= memory) return;
  throw new OutOfMemoryError(
    told`${name} is refused: its weights take ${fileSize(bytes)}, and this machine has ${fileSize(memory)} of memory.`,
  );
}

/** What V8 says where it has no room for an array, as a refusal; anything else as it is. */
export function refusalOfAllocation(error: unknown): unknown {
  const isOfMemory = error instanceof RangeError && /allocation failed/i.test(error.message);
  return isOfMemory ? new OutOfMemoryError('There is not enough memory for that.', { cause: error }) : error;
}

let collect: (() => void) | null = null;

/** Less than this outside V8's heap makes no peak, and a collection takes as long as loading a small model. */
const WORTH_COLLECTING = 64 * 2 ** 20;

/**
 * Gives back at once what nothing refers to any more. V8 does not see how large the arrays outside its heap are beside the
 * weights of a model: while one is loaded, their garbage would add to the peak.
 */
export async function collectGarbage(): Promise<void> {
  if (process.memoryUsage().external < WORTH_COLLECTING) return;
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  // What native code holds for a collected array is let go of on the next turn.
  await nextTurn();
  collect();
}
