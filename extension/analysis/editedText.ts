/** One change as VS Code reports it: offsets in the text before the event. */
export interface TextChange {
  rangeOffset: number;
  rangeLength: number;
  text: string;
}

/**
 * Where the analysed text has gone in an edited document: what lies before the first and behind the last edit is
 * unchanged and keeps its meaning; what lies between is unknown. Offsets are UTF-16 code units of the document.
 */
export class EditedText {
  /** Unchanged code units at the start and at the end. */
  private prefix: number;
  private suffix: number;
  private length: number;

  constructor(private readonly original: number) {
    this.prefix = this.suffix = this.length = original;
  }

  get changed(): boolean {
    return this.prefix < this.original || this.length !== this.original;
  }

  /** Notes the changes of one event. */
  edit(changes: readonly TextChange[]): void {
    const before = this.length;
    for (const { rangeOffset, rangeLength, text } of changes) {
      this.prefix = Math.min(this.prefix, rangeOffset);
      this.suffix = Math.min(this.suffix, before - rangeOffset - rangeLength);
      this.length += text.length - rangeLength;
    }
  }

  /** The analysed text is back as it was. */
  restore(): void {
    this.prefix = this.suffix = this.length = this.original;
  }

  /** Length of the document as it is now. */
  get currentLength(): number {
    return this.length;
  }

  /** The analysed offset of a code unit of the document as it is now, or null inside what was edited. */
  toAnalysed(offset: number): number | null {
    if (offset < this.prefix) return offset;
    const fromEnd = this.length - offset;
    return fromEnd <= this.suffix ? this.original - fromEnd : null;
  }

  /** Where the analysed range [start, end) is now, or null when an edit touched it. */
  toDocument(start: number, end: number): { start: number; end: number } | null {
    if (end <= this.prefix) return { start, end };
    if (this.original - start > this.suffix) return null;
    const shift = this.length - this.original;
    return { start: start + shift, end: end + shift };
  }
}
