import * as v from 'valibot';
import type { Memento } from 'vscode';

/** Raised with a change after which an earlier version's values mean something else. */
const VERSION = 1;

/**
 * A value that outlives the window. What is found in its place may be another version's, or anybody's: what is not as `schema`
 * has it counts as nothing.
 */
export class Kept<T> {
  constructor(
    private readonly memory: Pick<Memento, 'get' | 'update'>,
    private readonly key: string,
    private readonly schema: v.GenericSchema<T>,
  ) {}

  get value(): T | null {
    const read = v.safeParse(keptAs(this.schema), this.memory.get(this.key), { abortEarly: true });
    return read.success ? read.output.value : null;
  }

  /** null: nothing is kept. */
  keep(value: T | null): Thenable<void> {
    return this.memory.update(this.key, value === null ? undefined : { version: VERSION, value });
  }
}

const keptAs = <T>(value: v.GenericSchema<T>) => v.object({ version: v.literal(VERSION), value });

/** A text of somebody else's: a name, a reference, a sentence. */
export const shortText = v.pipe(v.string(), v.maxLength(4096));
