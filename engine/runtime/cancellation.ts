import { CancelledError } from '../errors';

/** Asked between blocks; the engine has one thread, so a check must also let messages in. */
export interface Cancellation {
  readonly isCancelled: boolean;
}

export const neverCancelled: Cancellation = { isCancelled: false };

/**
 * Yields to the event loop so that requests (a cancellation, a tile) are heard, then throws if cancelled.
 * Call between blocks and layers: ONNX Runtime's own runs cannot be interrupted.
 */
export async function checkpoint(cancellation: Cancellation): Promise<void> {
  await new Promise<void>(resolve => setImmediate(resolve));
  if (cancellation.isCancelled) throw new CancelledError();
}
