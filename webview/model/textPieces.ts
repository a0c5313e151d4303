import type { TokenTable } from '../../shared/protocol/engine';

/** One coloured piece of a text: a token, or several that stand on the same characters. */
export interface Piece {
  /** First and last token. */
  token: number;
  last: number;
  /** What stands before it since the last piece, and the token's own leading blanks. */
  before: string;
  /** Never empty: of a token that is all blanks, the blanks, or a sign for the end of a line. */
  text: string;
  /** The token's blanks behind, line ends included. */
  after: string;
}

/**
 * The text as it stands, in pieces by token. Tokens on no characters (special ones) have no piece. Without the text
 * itself (`null`), the vocabulary's own writing stands for it.
 */
export function textPieces(text: string | null, tokens: TokenTable): Piece[] {
  const pieces: Piece[] = [];
  let cursor = 0;
  for (let token = 0; token < tokens.ids.length; token++) {
    const start = tokens.start[token]!;
    const end = tokens.end[token]!;
    if (end <= start) continue;
    const previous = pieces[pieces.length - 1];
    if (end <= cursor) {
      // Another part of the same character.
      if (previous) previous.last = token;
      continue;
    }
    const from = Math.max(start, cursor);
    const gap = text === null ? '' : text.slice(cursor, from);
    const own = text === null ? (tokens.text[token] ?? '') : text.slice(from, end);
    cursor = end;
    const [, lead = '', core = '', trail = ''] = /^(\s*)(.*?)(\s*)$/s.exec(own)!;
    if (core) pieces.push({ token, last: token, before: gap + lead, text: core, after: trail });
    else if (/\n/.test(own)) pieces.push({ token, last: token, before: gap, text: '⏎', after: own });
    else pieces.push({ token, last: token, before: gap, text: own || '·', after: '' });
  }
  return pieces;
}

/** Neighbouring pieces that are drawn together. */
export interface TextBlock {
  /** Its pieces. */
  from: number;
  to: number;
  /** It is made of whole lines, so that nothing of it moves the lines of another one. */
  lines: boolean;
  /** Its text without any colour. */
  plain: string;
}

/** Blocks of at least `size` pieces, up to the end of a line where that is near. */
export function textBlocks(pieces: readonly Piece[], size: number): TextBlock[] {
  const blocks: TextBlock[] = [];
  const endsLine = (at: number) => pieces[at]!.after.endsWith('\n');
  for (let from = 0; from < pieces.length; from = blocks.at(-1)!.to) {
    let to = Math.min(pieces.length, from + size);
    while (to < pieces.length && to < from + 4 * size && !endsLine(to - 1)) to++;
    const own = pieces.slice(from, to);
    const plain = own.map(plainOf).join('');
    const begins = from === 0 || endsLine(from - 1);
    blocks.push({ from, to, lines: begins && (to === pieces.length || endsLine(to - 1)), plain });
  }
  return blocks;
}

/** A piece as it stands in the text: the end of a line has no sign there. */
const plainOf = ({ before, text, after }: Piece): string => before + (text === '⏎' ? '' : text) + after;

/** A few words of the text before a token, on one line. */
export function leadIn(pieces: readonly Piece[], at: number, length: number): string {
  let words = pieces[at]?.before ?? '';
  for (let i = at - 1; i >= 0 && words.length < length; i--) {
    words = plainOf(pieces[i]!) + words;
  }
  const line = words.replace(/\s+/g, ' ');
  return line.length > length ? `…${line.slice(-length)}` : line;
}
