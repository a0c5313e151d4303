import assert from 'node:assert/strict';
import { largestAt } from '../../shared/largest';
import { random } from '../oracle/random';

describe('the largest values', () => {
  it('are those that sorting all finds, equal ones as they stand', () => {
    const { uniform } = random(5);
    const values = Float32Array.from({ length: 3000 }, () => Math.round(40 * uniform()));
    const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
    for (const count of [0, 1, 7, 40, 255, 256, 5000])
      assert.deepEqual(largestAt(values, count), sorted.slice(0, count), `${count}`);
    assert.deepEqual(largestAt([3, 1], 5), [0, 1]);
  });
});
