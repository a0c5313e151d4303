/** Texts and their tokens: positions, readable token texts, and which tokens separate or punctuate. */
import type { TokenTable } from '../../../shared/protocol/engine';

/**
 * UTF-16 offset of each code point, with the text's length as last entry; null when offsets are the same in both
 * (no character beyond the basic plane). A lone surrogate counts as one code point, as tokenizers see it (U+FFFD).
 */
export function codePointOffsets(text: string): Int32Array | null {
  let points = 0;
  for (let i = 0; i < text.length; i += text.codePointAt(i)! > 0xffff ? 2 : 1) points++;
  if (points === text.length) return null;
  const offsets = new Int32Array(points + 1);
  for (let i = 0, point = 0; point < points; point++) {
    offsets[point] = i;
    i += text.codePointAt(i)! > 0xffff ? 2 : 1;
  }
  offsets[points] = text.length;
  return offsets;
}

/** How a vocabulary writes white space and bytes. */
export type TokenStyle = 'byte-level' | 'metaspace' | 'word-pieces' | 'word-ends' | 'plain';

/**
 * A vocabulary's entry as a person reads it: spaces as spaces, bytes as characters, incomplete bytes as <0xE2>, pieces of words
 * without the signs that join them (`##ing`, `the</w>`).
 */
export function readableToken(token: string, style: TokenStyle): string {
  if (style === 'metaspace') return token.replaceAll('\u2581', ' ');
  if (style === 'word-pieces') return token.replace(/^##(?=.)/, '');
  if (style === 'word-ends') return token.replace(/(?<=.)<\/w>$/, '');
  if (style === 'plain') return token;
  const bytes: number[] = [];
  for (const char of token) {
    const byte = BYTE_OF_CHAR.get(char);
    // An added token ("<|endoftext|>", "[é]") is plain text already.
    if (byte === undefined) return token;
    bytes.push(byte);
  }
  return readableBytes(Uint8Array.from(bytes));
}

function readableBytes(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Part of a character: what is whole stays readable, the rest is shown byte by byte.
    let text = '';
    for (let at = 0; at < bytes.length;) {
      const length = sequenceLength(bytes, at);
      if (length > 0) text += Buffer.from(bytes.subarray(at, at + length)).toString('utf8');
      else text += `<0x${bytes[at]!.toString(16).toUpperCase().padStart(2, '0')}>`;
      at += Math.max(1, length);
    }
    return text;
  }
}

/** Bytes of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const decoded = Buffer.from(bytes.subarray(at, at + length)).toString('utf8');
  return decoded.includes('\ufffd') ? 0 : length;
}

/** GPT-2's printable stand-ins for bytes: printable Latin-1 stands for itself, the others start at U+0100. */
const BYTE_OF_CHAR = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  BYTE_OF_CHAR.set(String.fromCodePoint(printable ? byte : next++), byte);
}

const SPECIAL_LOOK = /^(<\|[^|\s]*\|>|\[(CLS|SEP|BOS|EOS|PAD)\]|<\/?s>|<(bos|eos|sep|cls|pad)>)$/;

/** Special tokens and tokens of line breaks only: what heads use as a place to rest or to gather a line. */
function isSeparator(tokens: TokenTable, index: number): boolean {
  if (tokens.special[index]) return true;
  const text = tokens.text[index]!;
  return /^[^\S\n\r]*[\n\r]\s*$/.test(text) || SPECIAL_LOOK.test(text);
}

/** Tokens of punctuation marks only (Unicode category P), with or without space. */
function isPunctuation(tokens: TokenTable, index: number): boolean {
  if (isSeparator(tokens, index)) return false;
  const text = tokens.text[index]!.trim();
  return /^\p{P}+$/u.test(text);
}

/** What measures need to know of each token: its id, and 1 where it belongs to a class. */
export function tokenMarks(tokens: TokenTable): {
  ids: Int32Array;
  separator: Uint8Array;
  punctuation: Uint8Array;
} {
  return {
    ids: tokens.ids,
    separator: Uint8Array.from(tokens.text, (_, i) => Number(isSeparator(tokens, i))),
    punctuation: Uint8Array.from(tokens.text, (_, i) => Number(isPunctuation(tokens, i))),
  };
}
