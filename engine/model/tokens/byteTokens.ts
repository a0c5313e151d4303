/**
 * Ranges of byte tokens (`<0xE2>`). Unigram tokenizers give all bytes of a run of unknown characters the range of the
 * whole run; here each byte gets the range of its own character.
 */

const BYTES = /^(?:<0x[0-9A-F]{2}>)+$/;

/**
 * Readable texts in which tokens that are bytes of one character show the character and which part they are: `台 (1/3)`.
 * Bytes that make no whole character stay as they are.
 */
export function joinedBytes(texts: readonly string[]): string[] {
  const joined = [...texts];
  for (let first = 0; first < texts.length; first++) {
    const bytes: number[] = [];
    for (let last = first; last < texts.length && bytes.length < 4 && BYTES.test(texts[last]!); last++) {
      bytes.push(...Array.from(texts[last]!.matchAll(/[0-9A-F]{2}(?=>)/g), ([hex]) => parseInt(hex, 16)));
      const text = Buffer.from(bytes).toString('utf8');
      if ([...text].length !== 1 || text === '\ufffd') continue;
      const count = last - first + 1;
      for (let i = first; i <= last; i++)
        joined[i] = count === 1 ? text : `${text} (${i - first + 1}/${count})`;
      first = last;
      break;
    }
  }
  return joined;
}

/** Narrows `start` and `end` in place, where the bytes are those of the text (a normaliser may have changed it). */
export function narrowByteTokens(
  tokens: readonly string[],
  start: Int32Array,
  end: Int32Array,
  text: string,
): void {
  for (let first = 0; first < tokens.length;) {
    let last = first;
    const bytes: number[] = [];
    for (; last < tokens.length; last++) {
      const byte = /^<0x([0-9A-F]{2})>$/.exec(tokens[last]!)?.[1];
      if (byte === undefined || start[last] !== start[first] || end[last] !== end[first]) break;
      bytes.push(parseInt(byte, 16));
    }
    if (bytes.length > 1) narrowRun(bytes, first, start, end, text);
    first = Math.max(last, first + 1);
  }
}

function narrowRun(bytes: number[], first: number, start: Int32Array, end: Int32Array, text: string): void {
  const slice = text.slice(start[first], end[first]);
  if (Buffer.compare(Buffer.from(slice, 'utf8'), Buffer.from(bytes)) !== 0) return;
  let token = first;
  let at = start[first]!;
  for (const char of slice) {
    for (let byte = Buffer.byteLength(char); byte > 0; byte--, token++) {
      start[token] = at;
      end[token] = at + char.length;
    }
    at += char.length;
  }
}
