/** What a long script has found so far, a line of JSON each: a run that was stopped goes on behind the last of them. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Engine } from '../../engine/engine';

/** Where a run keeps what nobody asked it to keep. */
export const passingFile = (name: string): string => join(tmpdir(), `attention-${name}-${process.pid}.jsonl`);

/** A name may stand for another model tomorrow: results are those of its files. */
export async function hashOfModel(engine: Engine, ref: string): Promise<string> {
  const { fingerprint } = await engine.request('models/load', { ref, device: 'cpu' });
  if (!fingerprint) throw new Error(`${ref} has no files that tell it from others.`);
  return fingerprint.sha256;
}

export class KeptLines {
  private readonly found = new Map<string, unknown>();

  /** @param of what it all is of: lines of anything else are not gone on with */
  constructor(
    private readonly path: string,
    of: object,
  ) {
    const head = JSON.stringify(of);
    if (!existsSync(path) || statSync(path).size === 0) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, head);
    }
    const [first, ...lines] = readFileSync(path, 'utf8').split('\n');
    if (first !== head) throw new Error(`${path} is of something else: remove it, or name another file.`);
    for (const line of lines) {
      const read = parsed(line);
      if (read) this.found.set(read.key, read.value);
    }
    console.error(`${path}: ${this.found.size} results are there already`);
  }

  /** What is kept under the key, or what is made now and kept. Numbers of typed arrays come back as lists. */
  async get<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.found.get(key);
    if (known !== undefined) return known as T;
    const value = await make();
    this.found.set(key, value);
    // A line of its own, also behind one that was cut off.
    appendFileSync(this.path, `\n${JSON.stringify({ key, value })}`);
    return value;
  }
}

/** Null of a line that was cut off. */
function parsed(line: string): { key: string; value: unknown } | null {
  try {
    return JSON.parse(line) as { key: string; value: unknown };
  } catch {
    return null;
  }
}
