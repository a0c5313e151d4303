import assert from 'node:assert/strict';
import { shareInterval95 } from '../../engine/measure/binomial';
import { argmax, mean, median, quantile, sum } from '../../engine/statistics';

describe('statistics', () => {
  it('a share of few trials has the interval of Wilson: four of four are no certainty', () => {
    const near = (interval: { low: number; high: number }, low: number, high: number) => {
      assert.ok(Math.abs(interval.low - low) < 5e-5 && Math.abs(interval.high - high) < 5e-5);
    };
    near(shareInterval95(4, 4), 0.5101, 1);
    near(shareInterval95(0, 10), 0, 0.2775);
    near(shareInterval95(5, 10), 0.2366, 0.7634);
    near(shareInterval95(81, 263), 0.2553, 0.3662); // Newcombe 1998, table I, method 3
    near(shareInterval95(0, 0), 0, 1);
  });

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
