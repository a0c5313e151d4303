/**
 * How names and messages that come from files, hubs and drivers are written. They may hold anything: terminal escapes,
 * characters that turn the line around, links, megabytes. Everything foreign goes through here on its way to a reader.
 */

/** A name in a sentence, a list or a status bar. */
const NAME_LENGTH = 120;
/** The longest sentence told to a user. */
const SENTENCE_LENGTH = 300;

/** Characters that act instead of being seen: controls (C0, DEL, C1), lone surrogates, bidirectional and invisible ones. */
const HIDDEN =
  /[\p{Cc}\p{Cs}\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** The text with every hidden character written as its escape: a line of a terminal or a table that only shows. */
export function visible(text: string): string {
  return text.replace(HIDDEN, character => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`);
}

/** The same of a text of several lines, such as a stack. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}

/**
 * One foreign name: what is hidden is shown, and no interface of VS Code reads a link or an icon in it. It ends no
 * sentence, and what is longer than `length` loses its middle.
 */
export function foreign(value: unknown, length = NAME_LENGTH): string {
  // Cut before anything is searched in it: it may be of any size.
  const text = shortened(String(value), 4 * length);
  const name = visible(text).replace(/[.!?]\s+(?=\S)/g, '; ');
  return inert(shortened(name, length));
}

/** Without the syntax of links and icons: `[x](command:y)` and `$(z)` are read in notifications, pickers and the status bar. */
function inert(text: string): string {
  return text.replace(/\](?=[([:])/g, '] ').replace(/\$(?=\()/g, '$ ');
}

function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const end = Math.floor(length / 3);
  return `${text.slice(0, length - end - 1)}…${text.slice(text.length - end)}`;
}

/**
 * One of our sentences with foreign values in it: told`${name} holds no ONNX graph.` The values share what our own words
 * leave of the length of a sentence; the longest are shortened first.
 */
export function told(words: TemplateStringsArray, ...values: readonly unknown[]): string {
  return filledIn(words, values);
}

/** The same of a form with holes, {0} and on. */
export const toldInForm = (form: string, values: readonly unknown[]): string =>
  filledIn(form.split(/\{\d+\}/), values);

function filledIn(words: readonly string[], values: readonly unknown[]): string {
  const own = words.join('').length;
  const names = values.map(value => foreign(value, SENTENCE_LENGTH));
  const cap = fairShare(
    names.map(name => name.length),
    Math.max(0, SENTENCE_LENGTH - own),
  );
  return words.reduce((sentence, word, at) => sentence + foreign(names[at - 1], cap) + word);
}

/** The largest length to which all must be cut for their sum to be at most `total`. */
function fairShare(lengths: readonly number[], total: number): number {
  let left = total;
  const ascending = [...lengths].sort((a, b) => a - b);
  for (const [at, length] of ascending.entries()) {
    const share = Math.floor(left / (ascending.length - at));
    if (length > share) return Math.max(1, share);
    left -= length;
  }
  return SENTENCE_LENGTH;
}

/** One line that only shows, of at most `length` characters. */
export function oneLine(text: string, length: number): string {
  const line = shortened(text, 4 * length).replace(/\s*[\r\n]+\s*/g, ' ');
  return shortened(inert(visible(line)).trim(), length);
}

/** Whatever is told to a user as a sentence: one line of at most 300 characters that ends with a stop. */
export function oneSentence(text: string): string {
  const line = oneLine(text, 2 * SENTENCE_LENGTH);
  const closed = /[.!?]$/.test(line) ? line : `${line}.`;
  return closed.length <= SENTENCE_LENGTH ? closed : `${closed.slice(0, SENTENCE_LENGTH - 2)}….`;
}

/** Foreign text as Markdown that shows it as it is. */
export function markdown(text: string): string {
  return visible(text).replace(/[\\`*_{}[\]()#+\-.!|<>~]/g, '\\$&');
}

/**
 * Markdown with no links but those to the given commands, no pictures and no addresses: the last look before it is shown.
 * What our own texts have in code is left as it is, but for a space.
 */
export function withoutLinks(text: string, commands: readonly string[] = []): string {
  return text
    .replace(/\](?=[([:])/g, (bracket, at: number) =>
      commands.some(command => text.startsWith(`](command:${command}?`, at)) ? bracket : '] ',
    )
    .replace(/<(?=[a-z!/?])/gi, '< ')
    .replace(/:\/\//g, ': //')
    .replace(/\bwww\./gi, 'www .');
}
