import { diffWordsWithSpace } from 'diff';

/** One change as VS Code reports it: offsets in the text before the event. */
export interface TextChange {
  rangeOffset: number;
  rangeLength: number;
  text: string;
}

/** Code units that no edit has touched: where they were, where they are. */
interface Stretch {
  from: number;
  at: number;
  length: number;
}

/** Rewritten passages up to this length are searched for what is the same in them, for so many milliseconds. */
const MOST_COMPARED = 200_000;
const PATIENCE = 100;

/**
 * Where the analysed text has gone in an edited document, stretch by stretch: what was not touched keeps its meaning,
 * however many edits lie between. A passage that was rewritten is compared with what stood there, so that what is the same
 * (a formatter's untouched words, an undone deletion) is known again. Offsets are UTF-16 code units of the document.
 */
export class EditedText {
  /** Ascending in both texts. */
  private stretches: Stretch[];
  private length: number;
  private readonly original: number;
  private readonly text: string | null;

  /** @param original the text as it was, or its length where it is too long to be kept */
  constructor(original: string | number) {
    this.text = typeof original === 'string' ? original : null;
    this.original = typeof original === 'string' ? original.length : original;
    this.length = this.original;
    this.stretches = this.whole;
  }

  get changed(): boolean {
    const [first] = this.stretches;
    return this.length !== this.original || (this.original > 0 && first?.length !== this.original);
  }

  /** Notes the changes of one event; `now` reads the document behind it. */
  edit(changes: readonly TextChange[], now?: (start: number, end: number) => string): void {
    // Behind first: so the offsets of the others stay as they were told.
    for (const change of [...changes].sort((a, b) => b.rangeOffset - a.rangeOffset)) this.cut(change);
    if (this.text !== null && now) this.stretches = this.joined(this.compared(this.text, now));
  }

  /** The analysed text is back as it was. */
  restore(): void {
    this.length = this.original;
    this.stretches = this.whole;
  }

  /** Length of the document as it is now. */
  get currentLength(): number {
    return this.length;
  }

  /** The analysed offset of a code unit of the document as it is now, or null inside what was edited. */
  toAnalysed(offset: number): number | null {
    const last = this.stretches.at(-1);
    if (last && offset === this.length && last.at + last.length === offset) return this.original;
    const found = this.stretches.find(({ at, length }) => at <= offset && offset < at + length);
    return found ? found.from + offset - found.at : null;
  }

  /** Where the analysed range [start, end) is now, or null when an edit touched it. */
  toDocument(start: number, end: number): { start: number; end: number } | null {
    const found = this.stretches.find(({ from, length }) => from <= start && end <= from + length);
    if (!found) return null;
    const shift = found.at - found.from;
    return { start: start + shift, end: end + shift };
  }

  private get whole(): Stretch[] {
    return [{ from: 0, at: 0, length: this.original }];
  }

  private cut({ rangeOffset, rangeLength, text }: TextChange): void {
    const end = rangeOffset + rangeLength;
    const shift = text.length - rangeLength;
    this.length += shift;
    this.stretches = this.stretches.flatMap(({ from, at, length }) => {
      const before = { from, at, length: Math.min(length, rangeOffset - at) };
      const cut = Math.max(0, end - at);
      const behind = { from: from + cut, at: at + cut + shift, length: length - cut };
      if (before.length === length) return [before];
      return [before, behind].filter(part => part.length > 0);
    });
  }

  /** The stretches, with those that are found again in the passages between them. */
  private compared(text: string, now: (start: number, end: number) => string): Stretch[] {
    const found: Stretch[] = [];
    let [from, at] = [0, 0];
    for (const next of [...this.stretches, { from: this.original, at: this.length, length: 0 }]) {
      found.push(...same(text.slice(from, next.from), next.at > at ? now(at, next.at) : '', from, at), next);
      from = next.from + next.length;
      at = next.at + next.length;
    }
    return found.filter(({ length }) => length > 0);
  }

  /** Neighbours in both texts are one stretch. */
  private joined(stretches: readonly Stretch[]): Stretch[] {
    const joined: Stretch[] = [];
    for (const next of stretches) {
      const last = joined.at(-1);
      if (last && last.from + last.length === next.from && last.at + last.length === next.at)
        joined[joined.length - 1] = { ...last, length: last.length + next.length };
      else joined.push(next);
    }
    return joined;
  }
}

/** What a passage and the one in its place have in common, word by word. */
function same(before: string, after: string, from: number, at: number): Stretch[] {
  if (!before || !after || before.length + after.length > MOST_COMPARED) return [];
  const parts = diffWordsWithSpace(before, after, { timeout: PATIENCE }) ?? [];
  const found: Stretch[] = [];
  for (const { value, added, removed } of parts) {
    const { length } = value;
    if (!added && !removed) found.push({ from, at, length });
    if (!added) from += length;
    if (!removed) at += length;
  }
  return found;
}
