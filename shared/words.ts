import type { Link, TokenTable } from './protocol/engine';

/** A run of tokens that people read as one: the subwords of a word, the bytes of a character. */
export interface Word {
  /** First and last token. */
  first: number;
  last: number;
  /** Offsets in the text, without blanks around it. */
  start: number;
  end: number;
}

const JOINS = /[\p{L}\p{N}\p{M}]/u;
const JOINED = /^[\p{L}\p{N}\p{M}'’]/u;
/** A word is not longer than this, whatever the text: some scripts write none of the blanks that would end it. */
const MOST_TOKENS = 12;

/** The words of a text, in order; tokens on no characters (special ones) are words of their own. */
export function wordsOf(text: string, tokens: TokenTable): Word[] {
  const words: Word[] = [];
  for (let token = 0; token < tokens.ids.length; token++) {
    const [from, end] = [tokens.start[token]!, tokens.end[token]!];
    const own = text.slice(from, end);
    const start = from + (own.length - own.trimStart().length);
    const word = { first: token, last: token, start: Math.min(start, end), end: end - trailing(own) };
    const previous = words.at(-1);
    if (previous && end > from && continues(text, previous, from, own)) {
      previous.last = token;
      previous.end = Math.max(previous.end, word.end);
    } else words.push({ ...word, end: Math.max(word.start, word.end) });
  }
  return words;
}

const trailing = (own: string) => (own.trim() ? own.length - own.trimEnd().length : 0);

function continues(text: string, { first, last, start, end }: Word, from: number, own: string): boolean {
  if (end <= start) return false;
  // Another byte of the same character.
  if (from < end) return true;
  const written = text.slice(start, end);
  const ideographs = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;
  if (ideographs.test(own) || ideographs.test(written) || last - first + 1 >= MOST_TOKENS) return false;
  return from === end && JOINED.test(own) && JOINS.test(written.at(-1) ?? '');
}

/** The word that each token is of. */
export function wordOfToken(words: readonly Word[]): Int32Array {
  const of = new Int32Array((words.at(-1)?.last ?? -1) + 1);
  words.forEach(({ first, last }, word) => of.fill(word, first, last + 1));
  return of;
}

export interface WordLink {
  word: Word;
  mass: number;
}

/**
 * Links of the tokens of one word, by the words that they lead to, heaviest first. As a key a word has the mass of all its
 * tokens; as a query, and as the word in the middle, the mean over them.
 */
export function wordLinks(
  links: readonly (readonly Link[])[],
  words: readonly Word[],
  of: Int32Array,
  as: 'keys' | 'queries',
): WordLink[] {
  const sums = new Map<number, number>();
  for (const { token, mass } of links.flat()) {
    const word = of[token];
    if (word !== undefined) sums.set(word, (sums.get(word) ?? 0) + mass);
  }
  return [...sums]
    .map(([at, sum]) => {
      const word = words[at]!;
      const mean = as === 'keys' ? sum / links.length : sum / (word.last - word.first + 1);
      return { word, mass: mean };
    })
    .sort((a, b) => b.mass - a.mass);
}

/** What stands around a word, on one line. */
export function around(text: string, { start, end }: Word, reach: number): { before: string; after: string } {
  const line = (piece: string) => piece.replace(/\s+/g, ' ');
  const [from, to] = [Math.max(0, start - reach), Math.min(text.length, end + reach)];
  // Not in the middle of a word.
  const before = line(text.slice(from, start));
  const after = line(text.slice(end, to));
  return {
    before: from > 0 ? `…${before.replace(/^\S*\s/, '')}` : before,
    after: to < text.length ? `${after.replace(/\s\S*$/, '')}…` : after,
  };
}
