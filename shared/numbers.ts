import { visible } from './foreign';
import { english, type Translate } from './translate';

/** Numbers as the views write them: at most three significant digits, units always; `exact*` for hovers. */

const NARROW = '\u202f';

/** Three significant digits, thousands grouped: 0.0123, 4.57, 12.3, 1,230. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '–' : value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude < -4 || magnitude > 8) return value.toExponential(1).replaceAll('-', '−').replace('e+', 'e');
  const step = 10 ** (magnitude - 2);
  const rounded = magnitude > 2 ? Math.round(value / step) * step : Number(value.toPrecision(3));
  return rounded.toLocaleString('en', { maximumSignificantDigits: 3 }).replace('-', '−');
}

/** A share of 1 in per cent: 93.1 %. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–';
  if (share > 0 && share < 5e-7) return `<${NARROW}0.0001${NARROW}%`;
  // "100 %" is kept for what is really all of it.
  if (share < 1 && share > 0.9995) return `>${NARROW}99.9${NARROW}%`;
  return `${number(share * 100)}${NARROW}%`;
}

/** The same where lines are plain text that people search: terminals, logs, sentences of the engine. */
export function plainPercent(share: number): string {
  return plain(percent(share));
}

/** What is written for views as plain text. */
export function plain(words: string): string {
  return words
    .replaceAll(NARROW, ' ')
    .replace(/^([<>]) /, '$1')
    .replaceAll('−', '-');
}

export function tokens(value: number, t: Translate = english): string {
  return t(value === 1 ? '{0} token' : '{0} tokens', number(value));
}

export function nats(value: number, t: Translate = english): string {
  return t('{0} nats', number(value));
}

/** "40 s", "4 min", "1.5 h". */
export function duration(seconds: number, t: Translate = english): string {
  if (seconds < 90) return t('{0} s', Math.max(1, Math.round(seconds)));
  return seconds < 5400 ? t('{0} min', Math.round(seconds / 60)) : t('{0} h', (seconds / 3600).toFixed(1));
}

/** "12 %, about 4 min left". */
export function progressWords(
  fraction: number,
  secondsLeft: number | undefined,
  t: Translate = english,
): string {
  const done = percent(Math.round(100 * fraction) / 100);
  if (secondsLeft === undefined) return done;
  return t('{0}, about {1} left', done, duration(secondsLeft, t));
}

/** Of files, which are counted in powers of ten: 1.2 GB. */
export function fileSize(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A change, always with its sign. */
export function signed(value: number): string {
  return value > 0 ? `+${number(value)}` : number(value);
}

/** "+0.05 to +0.08", of 95 %; of too few tokens nothing can be told. */
export function interval({ low, high }: { low: number; high: number }, t: Translate = english): string {
  if (!Number.isFinite(high - low)) return t('too few tokens for an interval');
  return t('{0} to {1}', signed(low), signed(high));
}

/** "40 % of it on 10 of 1,023 tokens". */
export function carried(
  { share, tokens, of }: { share: number; tokens: number; of: number },
  t: Translate = english,
): string {
  return t('{0} of it on {1} of {2} tokens', percent(share), count(tokens), count(of));
}

/** Whole numbers, exactly. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** Everything that is known of a value, for hovers. */
export function exact(value: number, unit = ''): string {
  const text = Number.isFinite(value) ? String(Number(value.toPrecision(8))) : '–';
  return unit ? `${text} ${unit}` : text;
}

/** Token text on one line, blanks made visible, cut to `length` characters. */
export function tokenLabel(text: string, length = 24): string {
  const visible = text
    .replace(/\r\n|[\n\r]/g, '⏎')
    .replace(/\t/g, '⇥')
    .replace(/ /g, '\u00a0');
  const trimmed = visible.replace(/^\u00a0+(?=\S)/, '');
  const shown = /^\u00a0*$/.test(trimmed) ? '␣' : trimmed;
  const characters = [...shown];
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : shown;
}

export type CsvCell = string | number | null | undefined;

/** CSV after RFC 4180: comma, quotes where needed, CRLF. Texts only show: a spreadsheet computes none of them. */
export function csv(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  const cell = (value: CsvCell) => {
    const text = typeof value === 'string' ? noFormula(value) : String(value ?? '');
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  return [header, ...rows].map(row => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** What starts like a formula gets the apostrophe that spreadsheets take for "this is text". */
function noFormula(text: string): string {
  const shown = text.replace(/[^\r\n\t]+/g, visible);
  return /^\s*[=+\-@]|^[\t\r]/.test(shown) && !Number.isFinite(Number(shown)) ? `'${shown}` : shown;
}
