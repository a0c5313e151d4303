import { CancelledError } from '../errors';

export const neverCancelled: AbortSignal = new AbortController().signal;

/**
 * Aborted after so many milliseconds; keeps no process alive. Node 20 forgets a signal of AbortSignal.timeout that only
 * AbortSignal.any refers to: it is never aborted when garbage was collected meanwhile.
 */
export function abortedAfter(milliseconds: number): AbortSignal {
  const controller = new AbortController();
  const tooLong = () => controller.abort(new DOMException(`More than ${milliseconds} ms`, 'TimeoutError'));
  setTimeout(tooLong, milliseconds).unref();
  return controller.signal;
}

/**
 * Yields to the event loop so that requests (a cancellation, a tile) are heard, then throws if cancelled: the engine has
 * one thread. Call between blocks and layers: ONNX Runtime's own runs cannot be interrupted.
 */
export async function checkpoint(signal: AbortSignal): Promise<void> {
  await new Promise<void>(resolve => setImmediate(resolve));
  if (signal.aborted) throw new CancelledError();
}

/** The result, or a CancelledError as soon as the caller cancels: the work itself may still be on its way to its next checkpoint. */
export async function untilCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop!: () => void;
  const cancelled = new Promise<never>((_, reject) => {
    stop = () => reject(new CancelledError());
  });
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([cancelled, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
