import assert from 'node:assert/strict';
import { argmax, mean, median, quantile, sum } from '../../engine/statistics';

describe('statistics', () => {
  it('sums and means, 0 of nothing', () => {
    assert.equal(sum(Float32Array.of(1, 2, 4)), 7);
    assert.equal(mean([1, 2, 6]), 3);
    assert.equal(mean([]), 0);
  });

  it('quantiles lie between the two nearest values, in whatever order they come', () => {
    assert.equal(median([9, 1, 2]), 2);
    assert.equal(median([4, 1]), 2.5);
    assert.equal(quantile([40, 10, 30, 20, 50], 0.25), 20);
    assert.equal(quantile([0, 10], 0.75), 7.5);
  });

  it('finds the first of the largest values', () => {
    assert.equal(argmax(Float32Array.of(-3, -1, -1, -2)), 1);
  });
});
