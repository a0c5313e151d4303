import type { TokenTable } from '../../shared/protocol/engine';

/** First index whose value is greater than `limit`, in an ascending array. */
function upperBound(values: Int32Array, limit: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Tokens that overlap [start, end) of the analysed text, ascending. An empty range asks for the token around `start`.
 * Several byte-level tokens may share one character (an emoji): all of them are given. Special tokens have no text.
 */
export function tokensIn(table: TokenTable, start: number, end: number): number[] {
  const last = Math.max(end, start + 1);
  const found: number[] = [];
  // Starts ascend, but a special token at the end may carry any offset: it is skipped by its empty range.
  for (let t = upperBound(table.start, last - 1) - 1; t >= 0; t--) {
    if (table.end[t]! <= start) {
      if (table.special[t] || table.end[t] === table.start[t]) continue;
      break;
    }
    if (table.start[t]! < last) found.push(t);
  }
  return found.reverse();
}

const WORD = /\p{L}|\p{N}|\p{M}|\u200d|[_'’]/u;

/**
 * The word around a UTF-16 offset of a line, or the single character (grapheme) there. Looks at most `reach` code
 * units to either side, so that a line of any length costs the same.
 */
export function wordAt(line: string, offset: number, reach = 100): { start: number; end: number } | null {
  if (offset >= line.length) return null;
  let start = lowSurrogate(line, offset) ? offset - 1 : offset;
  let end = start + width(line, start);
  if (!WORD.test(line.slice(start, end))) {
    const window = line.slice(Math.max(0, start - 40), start + 40);
    const at = start - Math.max(0, start - 40);
    const grapheme = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
      .segment(window)
      .containing(at);
    if (!grapheme) return { start, end };
    const first = start - at + grapheme.index;
    return { start: first, end: first + grapheme.segment.length };
  }
  while (start > 0 && offset - start < reach) {
    const previous = lowSurrogate(line, start - 1) ? start - 2 : start - 1;
    if (previous < 0 || !WORD.test(line.slice(previous, start))) break;
    start = previous;
  }
  while (end < line.length && end - offset < reach) {
    const next = end + width(line, end);
    if (!WORD.test(line.slice(end, next))) break;
    end = next;
  }
  return { start, end };
}

function lowSurrogate(text: string, offset: number): boolean {
  const unit = text.charCodeAt(offset);
  return offset > 0 && unit >= 0xdc00 && unit <= 0xdfff && (text.charCodeAt(offset - 1) & 0xfc00) === 0xd800;
}

function width(text: string, offset: number): number {
  return (text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1;
}
