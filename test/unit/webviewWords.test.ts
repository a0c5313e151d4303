import assert from 'node:assert/strict';
import type { TokenTable } from '../../shared/protocol/engine';
import { around, wordLinks, wordOfToken, wordsOf } from '../../shared/words';

/** A table from the tokens of a text; bytes of one character are given as [character, parts]. */
function table(...pieces: (string | [string, number])[]): { text: string; tokens: TokenTable } {
  const rows: { text: string; start: number; end: number }[] = [];
  let text = '';
  for (const piece of pieces) {
    const [own, parts] = typeof piece === 'string' ? [piece, 1] : piece;
    for (let part = 0; part < parts; part++)
      rows.push({ text: own, start: text.length, end: text.length + own.length });
    text += own;
  }
  const column = (key: 'start' | 'end') => Int32Array.from(rows, row => row[key]);
  return {
    text,
    tokens: {
      ids: new Int32Array(rows.length),
      start: column('start'),
      end: column('end'),
      text: rows.map(row => row.text),
      special: new Uint8Array(rows.length),
      total: rows.length,
    },
  };
}

const written = ({ text, tokens }: ReturnType<typeof table>) =>
  wordsOf(text, tokens).map(({ first, last, start, end }) => [text.slice(start, end), last - first + 1]);

describe('words of a text', () => {
  it('are its subwords together, without blanks and marks', () => {
    assert.deepEqual(written(table('', 'The', ' Wh', 'it', 'combe', ',', ' don', "'t", '\n', 'go')), [
      ['', 1],
      ['The', 1],
      ['Whitcombe', 3],
      [',', 1],
      ["don't", 2],
      ['\n', 1].map(one => (one === '\n' ? '' : one)),
      ['go', 1],
    ]);
  });

  it('hold all bytes of a character, and one sign of Chinese each', () => {
    assert.deepEqual(written(table(['灯', 3], ['塔', 2], ' a', ['😀', 4])), [
      ['灯', 3],
      ['塔', 2],
      ['a', 1],
      ['😀', 4],
    ]);
  });

  it('gather links: all of a key, the mean of queries', () => {
    const { text, tokens } = table('The', ' Wh', 'it', ' cat');
    const words = wordsOf(text, tokens);
    const of = wordOfToken(words);
    assert.deepEqual([...of], [0, 1, 1, 2]);
    const links = [
      [
        { token: 1, mass: 0.5 },
        { token: 2, mass: 0.25 },
      ],
      [{ token: 0, mass: 0.5 }],
    ];
    const asKeys = wordLinks(links, words, of, 'keys');
    assert.deepEqual(
      asKeys.map(({ word, mass }) => [word.first, mass]),
      [
        [1, 0.375],
        [0, 0.25],
      ],
    );
    assert.deepEqual(
      wordLinks(links, words, of, 'queries').map(({ mass }) => mass),
      [0.5, 0.375],
    );
  });

  it('stand in their sentence, whose ends are no halves of words', () => {
    const { text, tokens } = table('One', ' evening', ' the', ' cat', ' slept', ' soundly');
    const cat = wordsOf(text, tokens)[3]!;
    assert.deepEqual(around(text, cat, 8), { before: '…the ', after: ' slept…' });
    assert.deepEqual(around(text, cat, 99), { before: 'One evening the ', after: ' slept soundly' });
  });
});
