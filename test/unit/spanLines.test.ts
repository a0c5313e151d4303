import assert from 'node:assert/strict';
import { COLUMN_GAP, SIDES, spanLines } from '../../webview/model/spanLines';

describe('how the spans of all heads are laid out', () => {
  const pixelsOfHead = (grid: { layers: number; heads: number }, width: number) =>
    ((width - SIDES.left - SIDES.right) * (1 - COLUMN_GAP)) / (spanLines(grid, width).columns * grid.heads);

  it('in one line where all heads can be told apart in it', () => {
    assert.deepEqual(spanLines({ layers: 6, heads: 8 }, 450), { columns: 6, lines: 1, height: 380 });
    assert.equal(spanLines({ layers: 12, heads: 12 }, 870).lines, 1);
    assert.equal(spanLines({ layers: 30, heads: 9 }, 1770).lines, 1);
  });

  it('in several where many layers would run together, as evenly as they go', () => {
    const { columns, lines } = spanLines({ layers: 30, heads: 9 }, 870);
    assert.deepEqual([columns, lines], [15, 2]);
  });

  it('never so that heads run into each other, while a layer has room', () => {
    for (const grid of [
      { layers: 30, heads: 9 },
      { layers: 12, heads: 12 },
      { layers: 32, heads: 32 },
    ])
      for (const width of [260, 450, 870, 1770]) assert.ok(pixelsOfHead(grid, width) >= 4.5);
  });

  it('a layer in a line where even one has too many heads', () => {
    assert.equal(spanLines({ layers: 4, heads: 200 }, 450).columns, 1);
  });
});
