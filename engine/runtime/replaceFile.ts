import { rename } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** What Windows answers while a virus scanner or an indexer holds a file that was just written. */
const HELD: readonly (string | undefined)[] = ['EPERM', 'EACCES', 'EBUSY'];
/** Milliseconds before each further try: two seconds in all. */
const PAUSES = [20, 50, 100, 200, 400, 600, 700];

/** Gives a finished file its name, over what may be there. Waits for a scanner that holds it. */
export async function replaceFile(
  from: string,
  to: string,
  { platform = process.platform, move = rename, pauses = PAUSES } = {},
): Promise<void> {
  const left = platform === 'win32' ? [...pauses] : [];
  for (;;) {
    try {
      return await move(from, to);
    } catch (error) {
      const pause = left.shift();
      if (pause === undefined || !HELD.includes((error as NodeJS.ErrnoException).code)) throw error;
      await delay(pause);
    }
  }
}
