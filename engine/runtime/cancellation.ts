import { CancelledError } from '../errors';

export const neverCancelled: AbortSignal = new AbortController().signal;

/**
 * Yields to the event loop so that requests (a cancellation, a tile) are heard, then throws if cancelled: the engine has
 * one thread. Call between blocks and layers: ONNX Runtime's own runs cannot be interrupted.
 */
export async function checkpoint(signal: AbortSignal): Promise<void> {
  await new Promise<void>(resolve => setImmediate(resolve));
  if (signal.aborted) throw new CancelledError();
}
