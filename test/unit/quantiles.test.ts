import assert from 'node:assert/strict';
import { countedDistribution, distribution } from '../../engine/measure/quantiles';
import { random } from '../oracle/random';

describe('distributions', () => {
  it('counting whole numbers gives what sorting gives', () => {
    const { uniform } = random(1);
    for (const length of [0, 1, 2, 7, 100, 1000]) {
      const values = Float32Array.from({ length }, () => Math.floor(uniform() * 40) - 4);
      assert.deepEqual(countedDistribution(values), distribution(values));
    }
    assert.deepEqual(countedDistribution(Float32Array.of(-1, -1)), distribution(Float32Array.of(-1)));
  });

  it('quantiles are values of the nearest rank', () => {
    const { mean, quantiles } = distribution(Float32Array.of(4, 1, 3, 2, -1));
    assert.deepEqual({ mean, ...quantiles }, { mean: 2.5, p5: 1, p25: 1, p50: 2, p75: 3, p95: 4 });
  });
});
