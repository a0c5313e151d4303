import assert from 'node:assert/strict';
import type { MechanismResult, Plan, RunEffect, TokenTable } from '../../shared/protocol/engine';
import { changeInWords, concentration } from '../../webview/model/changeNumbers';
import { leadIn, textBlocks, textPieces } from '../../webview/model/textPieces';
import {
  changeLimit,
  changeOf,
  changePerToken,
  effectOfChange,
  NO_INTERVENTIONS,
  NO_SELECTION,
  type ChangeSource,
} from '../../shared/protocol/host';
import { setting } from '../support/settings';

/** Tokens at [start, end) of a text. */
function table(text: string, ranges: [number, number][]): TokenTable {
  return {
    ids: Int32Array.from(ranges, (_, t) => t),
    start: Int32Array.from(ranges, ([start]) => start),
    end: Int32Array.from(ranges, ([, end]) => end),
    text: ranges.map(([start, end]) => text.slice(start, end)),
    special: Uint8Array.from(ranges, ([start, end]) => (start === end ? 1 : 0)),
    total: ranges.length,
  };
}

const effect = (measure: RunEffect['measure'], perToken: number[]): RunEffect => ({
  measure,
  delta: 0,
  perToken: Float32Array.from(perToken),
});

describe('webview: pieces of a text', () => {
  it('put together again are the text, whatever the tokens leave out or share', () => {
    const text = 'Ab  cat\n\n\tsat 😀 on.\n';
    const ranges: [number, number][] = [
      [0, 0], // special
      [0, 2],
      [4, 7], // the blanks before belong to no token
      [7, 9], // two line ends
      [9, 13],
      [13, 16], // four tokens of one character
      [13, 16],
      [14, 16],
      [16, 19],
      [19, 20],
    ];
    const pieces = textPieces(text, table(text, ranges));
    const written = pieces.map(one => one.before + (one.text === '⏎' ? '' : one.text) + one.after).join('');
    assert.equal(written, text.slice(0, 20));
    assert.deepEqual(
      pieces.map(one => [one.token, one.last, one.text]),
      [
        [1, 1, 'Ab'],
        [2, 2, 'cat'],
        [3, 3, '⏎'],
        [4, 4, 'sat'],
        [5, 7, '😀'],
        [8, 8, 'on'],
        [9, 9, '.'],
      ],
    );
    assert.equal(leadIn(pieces, 3, 20), 'Ab cat ');
    assert.equal(leadIn(pieces, 3, 4), '…cat ');
  });

  it('are drawn in blocks of whole lines where these are not too long', () => {
    const lines = (length: number, count: number) => `${'x '.repeat(length - 1)}x\n`.repeat(count);
    const text = lines(3, 10) + lines(50, 1) + lines(2, 4);
    const ranges = [...text.matchAll(/x[ \n]/g)].map(({ index }): [number, number] => [index, index + 2]);
    const pieces = textPieces(text, table(text, ranges));
    const blocks = textBlocks(pieces, 4);
    assert.equal(blocks.map(({ plain }) => plain).join(''), text);
    blocks.forEach(({ from, to, lines: whole, plain }, at) => {
      assert.equal(from, blocks[at - 1]?.to ?? 0);
      assert.ok(to - from <= 16);
      const begins = at === 0 || blocks[at - 1]!.plain.endsWith('\n');
      assert.equal(whole, begins && plain.endsWith('\n'));
    });
    assert.equal(blocks.at(-1)!.to, pieces.length);
    assert.deepEqual(
      blocks.map(({ lines: whole }) => whole),
      [true, true, true, true, true, false, false, false, false, true, true],
    );
  });

  it('without the text are written as the vocabulary writes them', () => {
    const pieces = textPieces(
      null,
      table('the cat', [
        [0, 3],
        [3, 7],
      ]),
    );
    assert.deepEqual(
      pieces.map(({ before, text }) => before + text),
      ['the', ' cat'],
    );
  });
});

describe('webview: a change of the attention', () => {
  it('is about the token that is predicted, or that the output is of', () => {
    assert.deepEqual([...changePerToken(effect('loss', [1, 2]), 3)], [0, 1, 2]);
    assert.deepEqual([...changePerToken(effect('output', [1, 2, 3]), 3)], [1, 2, 3]);
  });

  it('has a scale that one outlier does not stretch beyond a fifth of itself', () => {
    const values = (outlier: number) =>
      Array.from({ length: 1000 }, (_, t) => (t < 5 ? outlier : 0.31 * Math.sin(t)));
    assert.equal(changeLimit(values(1.5)), 0.5);
    assert.equal(changeLimit(values(90)), 20);
    assert.equal(changeLimit([0, 0]), 0.001);
    assert.equal(changeLimit([-3]), 5);
    assert.equal(changeLimit([]), 0.001);
  });

  it('is the one asked for as long as it is there, else what was taken away', () => {
    const plan = { effect: effect('loss', [1]) } as Plan;
    const choice = setting('local');
    const some = { ...NO_INTERVENTIONS, list: [{ kind: 'head', core: 0, head: 0 } as const] };
    const asked = (change: ChangeSource | null) => ({ ...NO_SELECTION, change });
    const none = { interventions: NO_INTERVENTIONS, plan: null };
    assert.equal(changeOf(none, asked(null)), null);
    assert.equal(changeOf(none, asked({ kind: 'plan' })), null);
    assert.equal(changeOf(none, asked({ kind: 'interventions' })), null);
    assert.deepEqual(changeOf({ interventions: some, plan }, asked(null)), { kind: 'interventions' });
    assert.deepEqual(changeOf({ interventions: some, plan }, asked({ kind: 'plan' })), { kind: 'plan' });
    assert.deepEqual(changeOf(none, asked({ kind: 'mechanism', choice })), { kind: 'mechanism', choice });

    const propagated = { deltaLoss: 2, deltaLossPerToken: Float32Array.of(2) } as MechanismResult;
    const change = { kind: 'mechanism', choice } as const;
    assert.deepEqual(effectOfChange(none, change, propagated), {
      measure: 'loss',
      delta: 2,
      perToken: Float32Array.of(2),
    });
    assert.equal(effectOfChange(none, change, undefined), null);
    assert.equal(effectOfChange({ interventions: some, plan }, { kind: 'plan' }, undefined), plan.effect);
  });

  it('says how few tokens carry half of what is lost', () => {
    assert.deepEqual(concentration(effect('loss', [0.1, 4, -3, 0.1, 3, 1])), { tokens: 2, of: 6 });
    assert.equal(concentration(effect('loss', [-1, 0])), null);
  });

  it('is written with its sign and unit, rounding noise as 0', () => {
    assert.equal(changeInWords(1.234, 'loss'), '+1.23 nats');
    assert.equal(changeInWords(-1.234, 'loss'), '−1.23 nats');
    assert.equal(changeInWords(-9.5e-7, 'loss'), '0 nats');
    assert.equal(changeInWords(0.02, 'output'), '0.02');
  });
});
