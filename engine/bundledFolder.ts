import { existsSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';

/** Where the bundled models lie: beside the sources, and one folder up from the bundles in dist/. */
export function bundledFolder(): string {
  const beside = join(__dirname, 'bundled');
  return existsSync(beside) ? beside : join(__dirname, '../engine/bundled');
}

/** True for folders of bundled models, whose files need no suspicion. */
export function isBundled(folder: string): boolean {
  return resolve(folder).startsWith(bundledFolder() + sep);
}
