/** Tables of documents that scripts make, each between its own marks. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Interval } from '../../shared/protocol/engine';

const RESULTS = 'docs/results.md';

export const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(3)}`;
export const intervalWords = (of: Interval | null): string =>
  of ? `${signed(of.low)} to ${signed(of.high)}` : '-';
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** As Prettier has it. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, c) => Math.max(3, title.length, ...rows.map(row => row[c]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, c) => cell.padEnd(widths[c]!)).join(' | ')} |`;
  return [line(header), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const marks = (script: string) => [`<!-- npm run ${script} -->`, '<!-- end -->'] as const;

export const hasPlace = (script: string): boolean => readFileSync(RESULTS, 'utf8').includes(marks(script)[0]);

/** Puts what `npm run NAME` made into its place, or prints it where the command says `--print`. */
export function putResults(script: string, parts: readonly string[], file = RESULTS): void {
  const [begin, end] = marks(script);
  const text = [begin, ...parts, end].join('\n\n');
  if (process.argv.includes('--print')) return console.log(text);
  const results = readFileSync(file, 'utf8');
  const from = results.indexOf(begin);
  const to = results.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${file} has no place for the tables (${begin} ... ${end}).`);
  writeFileSync(file, results.slice(0, from) + text + results.slice(to + end.length));
}
