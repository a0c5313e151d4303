import { ErrorCode } from '../../shared/protocol/engine';

/** A request that failed; `code` is an ErrorCode of the engine, or null. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly code: number | null,
  ) {
    super(message);
  }

  /** The engine refuses what was asked, not what it could not do just now. */
  get refused(): boolean {
    return this.code === ErrorCode.refused;
  }

  /** Another try would end the same. */
  get final(): boolean {
    return this.refused || this.code === ErrorCode.outOfMemory;
  }
}
