import { foreign, oneSentence, toldInForm } from '../shared/foreign';
import { REFUSALS } from '../shared/refusals';

export { told } from '../shared/foreign';

/** What the user is told: one clear sentence of at most 300 characters, whatever went into it. Foreign values go in by `told`. */
class Told extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(oneSentence(message), options);
  }
}

/** The input (model, text, tensors) cannot be used. Exit code 3. */
export class RefusedError extends Told {
  override readonly name = 'RefusedError';
}

/** A refusal that views can say in the user's language. Foreign values are taken as `told` takes them. */
export const refused = (form: keyof typeof REFUSALS, ...values: readonly unknown[]): RefusedError =>
  new RefusedError(toldInForm(REFUSALS[form], values));

/** The device that was asked for cannot be used here. Exit code 3. */
export class DeviceRefusedError extends RefusedError {}

/** It takes more memory than there is, or than may be taken. Exit code 3. */
export class OutOfMemoryError extends RefusedError {}

/** The call itself is wrong (unknown mechanism, bad parameter). Exit code 2. */
export class UsageError extends Told {
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
 * without source locations, failed conditions and the final stop.
 */
export function oneClause(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.split(/[\r\n]/)[0]!.replace(/^.*\.(cc|h|cpp):\d+ .*?(was false\. |\) ?:(?!:) ?)/, '');
  return foreign(line.replace(/\ufffd/g, '?').trim(), 300).replace(/[.\s]+$/, '');
}
