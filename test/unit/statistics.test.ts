import assert from 'node:assert/strict';
import { shareInterval95 } from '../../engine/measure/binomial';
import { argmax, mean, median, quantile, sum } from '../../engine/statistics';

describe('statistics', () => {
  it('a share of few trials has the exact binomial interval: four of four are no certainty', () => {
    const near = (interval: { low: number; high: number }, low: number, high: number) => {
      assert.ok(Math.abs(interval.low - low) < 5e-5 && Math.abs(interval.high - high) < 5e-5);
    };
    near(shareInterval95(4, 4), 0.025 ** (1 / 4), 1);
    near(shareInterval95(0, 10), 0, 1 - 0.025 ** (1 / 10));
    near(shareInterval95(5, 10), 0.1871, 0.8129);
    near(shareInterval95(81, 263), 0.2527, 0.3676); // Newcombe 1998, table I, method 5
    near(shareInterval95(0, 0), 0, 1);
  });

  it('of any share, what was seen has a chance of 2.5 % at each end of that interval', () => {
    const chance = (trials: number, share: number, counts: (count: number) => boolean) => {
      let [ways, total] = [1, 0];
      for (let count = 0; count <= trials; ways *= (trials - count) / (count + 1), count++)
        if (counts(count)) total += ways * share ** count * (1 - share) ** (trials - count);
      return total;
    };
    for (const [seen, trials] of [
      [3, 4],
      [1, 1],
      [7, 30],
      [29, 30],
      [200, 500],
    ] as const) {
      const { low, high } = shareInterval95(seen, trials);
      assert.ok(Math.abs(chance(trials, low, count => count >= seen) - 0.025) < 1e-9);
      if (seen < trials) assert.ok(Math.abs(chance(trials, high, count => count <= seen) - 0.025) < 1e-9);
    }
    assert.ok(shareInterval95(40_000, 100_000).low > 0.396, 'of many trials, at once');
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
