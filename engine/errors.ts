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

/**
 * Somebody else's error message (ONNX Runtime's, the file system's) as a clause of one of our sentences: its first line
 * without source locations, failed conditions, control characters and the final stop.
 */
export function oneClause(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.split(/[\r\n]/)[0]!.replace(/^.*\.(cc|h|cpp):\d+ .*?(was false\. |\) ?:(?!:) ?)/, '');
  // eslint-disable-next-line no-control-regex -- that is what is to be removed
  const clean = line.replace(/[\u0000-\u001f\u007f\ufffd]/g, '?').trim();
  return (clean.length > 300 ? `${clean.slice(0, 300)}...` : clean).replace(/[.\s]+$/, '');
}
