import assert from 'node:assert/strict';
import type { TokenTable } from '../../shared/protocol/engine';
import { EditedText } from '../../extension/analysis/editedText';
import { tokensIn, wordAt } from '../../extension/analysis/tokenLocator';

/** A table from pieces in order; '' is a special token at that place, an array shares one character. */
function table(pieces: (string | string[])[]): TokenTable {
  const rows: { text: string; start: number; end: number; special: number }[] = [];
  let at = 0;
  for (const piece of pieces) {
    if (Array.isArray(piece)) {
      const length = piece[0]!.length;
      for (const text of piece) rows.push({ text, start: at, end: at + length, special: 0 });
      at += length;
    } else {
      rows.push({ text: piece, start: at, end: at + piece.length, special: piece ? 0 : 1 });
      at += piece.length;
    }
  }
  return {
    ids: Int32Array.from(rows, (_, index) => index),
    start: Int32Array.from(rows, row => row.start),
    end: Int32Array.from(rows, row => row.end),
    text: rows.map(row => row.text),
    special: Uint8Array.from(rows, row => row.special),
    total: rows.length,
  };
}

describe('extension: tokens of a range', () => {
  const tokens = table(['', 'The', ' cat', ' sat', '']);

  it('finds the token around an offset', () => {
    assert.deepEqual(tokensIn(tokens, 0, 0), [1]);
    assert.deepEqual(tokensIn(tokens, 2, 2), [1]);
    assert.deepEqual(tokensIn(tokens, 3, 3), [2]);
    assert.deepEqual(tokensIn(tokens, 10, 10), [3]);
  });

  it('finds all tokens of a range and never a special one', () => {
    assert.deepEqual(tokensIn(tokens, 0, 11), [1, 2, 3]);
    assert.deepEqual(tokensIn(tokens, 4, 7), [2]);
    assert.deepEqual(tokensIn(tokens, 11, 11), []);
    assert.deepEqual(tokensIn(tokens, 500, 600), []);
  });

  it('gives every byte-level token that shares an emoji', () => {
    const emoji = table(['a', ['😀', '😀', '😀'], 'b']);
    assert.deepEqual(tokensIn(emoji, 1, 3), [1, 2, 3]);
    assert.deepEqual(tokensIn(emoji, 2, 2), [1, 2, 3]);
    assert.deepEqual(tokensIn(emoji, 3, 4), [4]);
  });

  it('is not misled by a special token at the end that carries offset 0', () => {
    const odd = table(['', 'ab', 'cd', 'ef', '']);
    odd.start[4] = odd.end[4] = 0;
    assert.deepEqual(tokensIn(odd, 0, 2), [1]);
    assert.deepEqual(tokensIn(odd, 5, 6), [3]);
  });

  it('leaves a gap of the text that no token covers empty', () => {
    const gap = table(['ab', 'cd']);
    gap.start[1] = 5;
    gap.end[1] = 7;
    assert.deepEqual(tokensIn(gap, 3, 4), []);
    assert.deepEqual(tokensIn(gap, 1, 6), [0, 1]);
  });
});

describe('extension: word at an offset', () => {
  const word = (line: string, offset: number) => {
    const found = wordAt(line, offset);
    return found && line.slice(found.start, found.end);
  };

  it('finds words in every script', () => {
    assert.equal(word('The cat sat', 5), 'cat');
    assert.equal(word("don't go", 1), "don't");
    assert.equal(word('naïve café', 8), 'café');
    assert.equal(word('cafe\u0301 noir', 4), 'cafe\u0301');
    assert.equal(word('שלום עולם', 6), 'עולם');
    assert.equal(word('مرحبا بالعالم', 2), 'مرحبا');
    assert.equal(word('𝒳𝒴 z', 1), '𝒳𝒴'); // letters outside of the basic plane, from inside a surrogate pair
  });

  it('takes a whole grapheme where there is no word', () => {
    assert.equal(word('a 👩‍👩‍👧 b', 2), '👩‍👩‍👧');
    assert.equal(word('a 👍🏽 b', 3), '👍🏽');
    assert.equal(word('a, b', 1), ',');
  });

  it('gives nothing behind the end of the line', () => {
    assert.equal(wordAt('abc', 3), null);
    assert.equal(wordAt('', 0), null);
  });

  it('looks at a bounded part of a line of any length', () => {
    const line = 'x'.repeat(200_000);
    assert.deepEqual(wordAt(line, 100_000), { start: 99_900, end: 100_100 });
  });
});

describe('extension: offsets in an edited document', () => {
  /** Edits a string as VS Code edits a document, and tells EditedText. */
  class Twin {
    readonly edited: EditedText;
    now: string;
    constructor(readonly original: string) {
      this.edited = new EditedText(original);
      this.now = original;
    }
    /** Changes of one event, offsets in the text before it, last first, as VS Code has them. */
    event(...changes: [offset: number, length: number, text: string][]) {
      const sorted = [...changes].sort((a, b) => b[0] - a[0]);
      for (const [offset, length, text] of sorted)
        this.now = this.now.slice(0, offset) + text + this.now.slice(offset + length);
      this.edited.edit(
        sorted.map(([rangeOffset, rangeLength, text]) => ({ rangeOffset, rangeLength, text })),
        (start, end) => this.now.slice(start, end),
      );
    }
    /** Every offset that is translated must lead to the same character. */
    check() {
      let known = 0;
      for (let offset = 0; offset < this.now.length; offset++) {
        const analysed = this.edited.toAnalysed(offset);
        if (analysed === null) continue;
        known++;
        assert.equal(this.now[offset], this.original[analysed], `offset ${offset}`);
        const back = this.edited.toDocument(analysed, analysed + 1);
        assert.deepEqual(back, { start: offset, end: offset + 1 });
      }
      return known;
    }
  }

  it('changes nothing before an edit', () => {
    const edited = new EditedText(10);
    assert.equal(edited.changed, false);
    assert.equal(edited.toAnalysed(9), 9);
    assert.deepEqual(edited.toDocument(2, 10), { start: 2, end: 10 });
  });

  it('keeps both sides of an insertion', () => {
    const twin = new Twin('abcdefghij');
    twin.event([5, 0, 'XYZ']);
    assert.equal(twin.check(), 10);
    assert.equal(twin.edited.toAnalysed(6), null);
    assert.equal(twin.edited.toDocument(4, 6), null, 'the range was split by the insertion');
    assert.equal(twin.edited.changed, true);
  });

  it('loses only what was edited, wherever the edits are', () => {
    const twin = new Twin('abcdefghijklmnopqrstuvwxyz');
    twin.event([3, 2, ''], [20, 1, 'ZZ']);
    assert.equal(twin.check(), 26 - 3);
    twin.event([10, 0, '!']);
    assert.equal(twin.check(), 26 - 3);
  });

  it('knows the words again of a passage that was rewritten as a whole, as formatters do', () => {
    const twin = new Twin('The cat sat on the mat. The dog did not.');
    twin.event([0, twin.now.length, 'The cat  sat on the rug.\n\nThe dog did not.']);
    const at = (word: string) => twin.original.indexOf(word);
    for (const word of ['cat', 'sat', 'dog', 'not'])
      assert.ok(twin.edited.toDocument(at(word), at(word) + 3), word);
    assert.equal(twin.edited.toDocument(at('mat'), at('mat') + 3), null);
    twin.check();
  });

  it('is as before when a deletion is undone, edits elsewhere left alone', () => {
    const twin = new Twin('one two three four five');
    twin.event([4, 4, '']);
    twin.event([twin.now.length, 0, '!']);
    twin.event([4, 0, 'two ']);
    assert.equal(twin.check(), twin.original.length);
    assert.deepEqual(twin.edited.toDocument(0, twin.original.length), { start: 0, end: 23 });
    assert.equal(twin.edited.changed, true);
    twin.event([23, 1, '']);
    assert.equal(twin.edited.changed, false);
  });

  it('agrees with the text through many random edits', () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 50; round++) {
      const twin = new Twin(Array.from({ length: 200 }, (_, i) => String.fromCharCode(0x4e00 + i)).join(''));
      for (let edit = 0; edit < 4; edit++) {
        const offset = 60 + random(twin.now.length - 120);
        twin.event([offset, random(5), 'x'.repeat(random(6))]);
        assert.ok(twin.check() >= 100, 'the untouched ends must stay known');
      }
    }
  });

  it('is as before once the analysed text is back', () => {
    const edited = new EditedText(10);
    edited.edit([{ rangeOffset: 2, rangeLength: 3, text: 'Q' }]);
    assert.equal(edited.currentLength, 8);
    edited.restore();
    assert.equal(edited.changed, false);
    assert.equal(edited.toAnalysed(3), 3);
  });

  it('notices a replacement of the same length', () => {
    const edited = new EditedText(10);
    edited.edit([{ rangeOffset: 9, rangeLength: 1, text: 'Q' }]);
    assert.equal(edited.changed, true);
    assert.equal(edited.toAnalysed(9), null);
    assert.equal(edited.toAnalysed(8), 8);
  });
});
