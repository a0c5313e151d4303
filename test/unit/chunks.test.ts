import assert from 'node:assert/strict';
import { densePairs, visibleKeys } from '../../engine/attention/core';
import { blockSizes, flashIo } from '../../engine/lens/flash';
import { spanPairs } from '../../shared/softSpan';
import { randomInput } from '../oracle/inputs';

/** Attention in chunks, pair by pair: both stand in the same stretch of `chunk` positions. */
describe('attention in chunks', () => {
  for (const causal of [true, false])
    for (const [queries, keys, chunk] of [
      [45, 45, 13],
      [30, 45, 13],
      [26, 26, 13],
      [9, 9, 20],
      [12, 12, 1],
    ] as const) {
      const input = randomInput({ queries, keys, chunk, causal });
      const sees = (query: number, key: number) => {
        const position = query + keys - queries;
        const together = Math.floor(position / chunk) === Math.floor(key / chunk);
        return together && (!causal || key <= position);
      };
      const count = (holds: (query: number, key: number) => boolean) => {
        let pairs = 0;
        for (let i = 0; i < queries; i++) for (let j = 0; j < keys; j++) if (holds(i, j)) pairs++;
        return pairs;
      };

      describe(`${causal ? 'causal' : 'full'}, ${queries} x ${keys} in chunks of ${chunk}`, () => {
        it('shows a query the keys of its chunk', () => {
          for (let i = 0; i < queries; i++) {
            const { from, to } = visibleKeys(input, i);
            for (let j = 0; j < keys; j++) assert.equal(j >= from && j < to, sees(i, j), `${i}, ${j}`);
          }
          assert.equal(densePairs(input), count(sees));
        });

        it('counts the pairs of a span', () => {
          for (const span of [0, 3, 12, 40]) {
            const near = (i: number, j: number) => sees(i, j) && Math.abs(i + keys - queries - j) <= span;
            assert.equal(spanPairs(input.rule.mask, queries, keys, span, 0), count(near));
          }
        });

        it('leaves out the tiles in which nothing is visible', () => {
          for (const sram of [32, 200, 1000]) {
            const { rows, columns } = blockSizes(sram, input.dim);
            let tiles = 0;
            for (let j = 0; j < keys; j += columns)
              for (let i = 0; i < queries; i += rows)
                if (count((q, k) => sees(q, k) && q >= i && q < i + rows && k >= j && k < j + columns) > 0)
                  tiles++;
            assert.equal(flashIo(input, sram).tiles, tiles);
          }
        });
      });
    }
});
