import assert from 'node:assert/strict';
import { gridLayout, inParts } from '../../webview/model/gridLayout';

const small = { width: 900, height: 1000 };
const large = { width: 1800, height: 1000 };

describe('how a grid of layers and heads is laid out', () => {
  it('stands in one piece with its plot where that leaves the cells large', () => {
    for (const [layers, columns] of [
      [4, 12],
      [6, 12],
      [12, 12],
    ] as const)
      for (const size of [small, large]) {
        const { parts, strip, cell } = gridLayout({ layers, columns }, size);
        assert.equal(parts, 1);
        assert.ok(strip > 0 && cell >= 40, `${cell}`);
      }
  });

  it('stands side by side where there are many layers, all seen at once and large enough to be told apart', () => {
    for (const size of [small, large]) {
      const { parts, cell } = gridLayout({ layers: 30, columns: 9 }, size);
      assert.ok(parts > 1 && cell >= 36, `${parts} of ${cell}`);
      assert.ok(Math.ceil(30 / parts) * (cell + 6) < size.height - 200);
    }
  });

  it('keeps the plot of each part where low windows leave room beside small cells', () => {
    const { parts, strip, cell } = gridLayout({ layers: 30, columns: 9 }, { width: 1256, height: 860 });
    assert.equal(parts, 2);
    assert.ok(strip >= 150 && 78 + 9 * (cell + 4) + strip <= (1256 - 24) / 2);
  });

  it('stays in one piece on paper and where the window is too low for any', () => {
    assert.equal(gridLayout({ layers: 30, columns: 9 }, { width: 900, height: Infinity }).parts, 1);
    assert.equal(gridLayout({ layers: 30, columns: 9 }, { width: 900, height: 240 }).parts, 1);
  });

  it('keeps the order of the layers', () => {
    assert.deepEqual(inParts([4, 3, 2, 1, 0], 2), [
      [4, 3, 2],
      [1, 0],
    ]);
    assert.deepEqual(inParts([2, 1, 0], 1), [[2, 1, 0]]);
  });
});
