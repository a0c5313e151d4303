/**
 * Whether two files of `analyze --json` say the same: `tsx scripts/compareAnalyses.ts OLD.json NEW.json`. Times and memory
 * may differ, and the new file may have fields that the old one has not.
 */
import { readFileSync } from 'node:fs';

const FREE = new Set(['timings', 'peakRssMiB', 'milliseconds']);

/** Where the values differ, as paths with both values. */
export function differences(before: unknown, after: unknown, path = ''): string[] {
  if (typeof before !== 'object' || before === null) {
    return Object.is(before, after)
      ? []
      : [`${path}: ${JSON.stringify(before)} became ${JSON.stringify(after)}`];
  }
  if (typeof after !== 'object' || after === null || Array.isArray(before) !== Array.isArray(after))
    return [`${path}: of another kind`];
  if (Array.isArray(before) && before.length !== (after as unknown[]).length)
    return [`${path}: ${before.length} entries became ${(after as unknown[]).length}`];
  return Object.entries(before).flatMap(([name, value]) =>
    FREE.has(name)
      ? []
      : differences(value, (after as Record<string, unknown>)[name], path ? `${path}.${name}` : name),
  );
}

if (process.argv[1]?.endsWith('compareAnalyses.ts')) {
  const [before, after] = process.argv
    .slice(2)
    .map(file => JSON.parse(readFileSync(file, 'utf8')) as unknown);
  const found = differences(before, after);
  console.log(found.length === 0 ? 'The same.' : found.slice(0, 40).join('\n'));
  process.exitCode = found.length === 0 ? 0 : 1;
}
