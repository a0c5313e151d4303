import assert from 'node:assert/strict';
import { labelEvery } from '../../webview/plots/axes';

const layers = (count: number) => Array.from({ length: count }, (_, layer) => `${layer}`);

describe('names of columns', () => {
  it('are all written where they have room', () => {
    assert.equal(labelEvery(layers(4), 100), 1);
    assert.equal(labelEvery(layers(12), 30), 1);
    assert.equal(labelEvery([], 10), 1);
  });

  it('are left out where they would run into each other', () => {
    // 30 layers on 410 pixels.
    const every = labelEvery(layers(30), 410 / 30);
    assert.equal(every, 2);
    assert.ok(every * (410 / 30) > 2 * 8);
  });
});
