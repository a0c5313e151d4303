import assert from 'node:assert/strict';
import { meanInterval } from '../../shared/uncertainty';
import {
  counterparts,
  keptMass,
  largestCells,
  lossPair,
  mapDifference,
  shiftPerRow,
  wholeLevel,
} from '../../webview/model/pair';

const tile = (rows: number[][], kept?: number[][]) => ({
  rows: rows.length,
  columns: rows[0]!.length,
  mass: Float32Array.from(rows.flat()),
  ...(kept && { kept: Float32Array.from(kept.flat()) }),
});
const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is ${b}`);

describe('A and B', () => {
  it('the whole map is one tile, however long the text is', () => {
    assert.deepEqual(
      [1, 128, 129, 256, 1000].map(tokens => wholeLevel(tokens, 1)),
      [0, 0, 1, 1, 3],
    );
    assert.equal(wholeLevel(3, 300), 2);
  });

  it('maps differ by what B looks at more than A, what a mechanism drops left out', () => {
    const a = tile([
      [1, 0],
      [0.25, 0.75],
    ]);
    const b = tile(
      [
        [1, 0],
        [0.5, 0.5],
      ],
      [
        [1, 1],
        [0, 1],
      ],
    );
    assert.deepEqual([...keptMass(b)], [1, 0, 0, 0.5]);
    assert.deepEqual([...mapDifference(a, b)!], [0, 0, -0.25, -0.25]);
    assert.equal(mapDifference(a, tile([[1]])), null);
    assert.deepEqual(largestCells(Float32Array.of(0, 0.1, -0.3, 0), 2, 5), [
      { row: 1, column: 0, value: Math.fround(-0.3) },
      { row: 0, column: 1, value: Math.fround(0.1) },
    ]);
  });

  it('two heads that never agree put all their attention elsewhere; in blocks it is the least that can be said', () => {
    const one = tile([
      [1, 0],
      [1, 0],
    ]);
    const other = tile([
      [1, 0],
      [0, 1],
    ]);
    assert.deepEqual([...shiftPerRow(one, other, 0)!], [0, 1]);
    // Means over blocks of two keys.
    const coarse = shiftPerRow(tile([[0.5, 0]]), tile([[0.25, 0.25]]), 1)!;
    near(coarse[0]!, 0.5);
  });

  it('tokens of an edited text keep their counterparts on both sides of the edit', () => {
    assert.deepEqual([...counterparts([1, 2, 3, 4], [1, 2, 9, 3, 4])], [0, 1, 3, 4]);
    assert.deepEqual([...counterparts([1, 2, 3], [1, 3])], [0, -1, 1]);
    assert.deepEqual([...counterparts([1, 2], [3, 4])], [-1, -1]);
  });

  it('losses are compared on the tokens that both texts have', () => {
    const ids = Array.from({ length: 60 }, (_, i) => i);
    const losses = ids.slice(1).map(i => 1 + (i % 5) / 10);
    // One token more in the middle, and every loss 0.5 higher.
    const edited = [...ids.slice(0, 30), 999, ...ids.slice(30)];
    const after = [...losses.slice(0, 29), 7, ...losses.slice(29)].map(loss => loss + 0.5);
    const { a, b, paired, perToken, interval } = lossPair(
      { perToken: losses, ids },
      { perToken: after, ids: edited },
    );
    assert.equal(paired, 59);
    near(b - a, 0.5);
    assert.equal(perToken[0], 0);
    assert.ok(perToken.subarray(1).every(value => Math.abs(value - 0.5) < 1e-6));
    const expected = meanInterval([losses.map(() => 0.5)])!;
    near(interval!.low, expected.low);
    near(interval!.high, expected.high);
  });

  it('texts that have little in common are compared as two samples', () => {
    const a = { ids: Array.from({ length: 40 }, (_, i) => i), perToken: Array<number>(39).fill(2) };
    const b = { ids: Array.from({ length: 40 }, (_, i) => 100 + i), perToken: Array<number>(39).fill(3) };
    const pair = lossPair(a, b);
    assert.deepEqual([pair.paired, pair.a, pair.b, pair.interval], [0, 2, 3, { low: 1, high: 1 }]);
    assert.ok(pair.perToken.every(value => value === 0));
  });
});
