/** The input (model, text, tensors) cannot be used; the message is one clear sentence for the user. Exit code 3. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** The call itself is wrong (unknown mechanism, bad parameter). Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Work was stopped because the user asked. Not an error to report. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError';
  constructor() {
    super('Cancelled.');
  }
}
