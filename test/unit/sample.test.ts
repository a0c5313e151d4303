import assert from 'node:assert/strict';
import { allRows, estimate, perPlace, sampledRows } from '../../engine/measure/sample';
import { mean } from '../../engine/statistics';
import { random } from '../oracle/random';

describe('figures from a sample of queries', () => {
  const tokens = 4000;

  it('takes all of a short text, and two neighbours at each of 96 places of a long one', () => {
    assert.equal(sampledRows(192, 1), null);
    assert.deepEqual(allRows(5), [{ from: 0, rows: 2 }, { from: 2, rows: 2 }, { from: 4, rows: 1 }]); // prettier-ignore
    const places = sampledRows(tokens, 1)!;
    assert.equal(places.length, 96);
    assert.ok(
      places.every(
        ({ from, rows }, p) => from + rows <= tokens && (p === 0 || from >= places[p - 1]!.from + 2),
      ),
    );
    assert.notDeepEqual(places, sampledRows(tokens, 2));
    assert.deepEqual(places, sampledRows(tokens, 1));
  });

  /** How often the interval holds the truth, and the mean of the estimates. */
  function draws(values: Float64Array): { covered: number; middle: number } {
    const truth = mean(values);
    let covered = 0;
    const means: number[] = [];
    for (let seed = 1; seed <= 400; seed++) {
      const places = sampledRows(values.length, seed)!;
      const found = estimate(
        perPlace(places, query => values[query]!),
        { all: false, bounded: true },
      );
      if (found.low <= truth && truth <= found.high) covered++;
      means.push(found.mean);
    }
    return { covered: covered / 400, middle: mean(means) };
  }

  it('is right on average, and its interval holds the truth in 95 % of the draws', () => {
    const { uniform } = random(3);
    const smooth = Float64Array.from({ length: tokens }, (_, i) => 0.5 * uniform() * (i / tokens));
    // Few queries lose everything: most samples show none of them.
    const rare = Float64Array.from({ length: tokens }, () => (uniform() < 0.01 ? 1 : 0));
    const often = Float64Array.from({ length: tokens }, () => (uniform() < 0.3 ? 0.9 : 0.1 * uniform()));
    for (const values of [smooth, rare, often]) {
      const { covered, middle } = draws(values);
      assert.ok(covered >= 0.94, `covers ${covered}`);
      assert.ok(Math.abs(middle - mean(values)) < 0.01, `${middle}, not ${mean(values)}`);
    }
  });

  it('is no estimate where all queries were read', () => {
    const found = estimate([0.1, 0.3], { all: true });
    assert.deepEqual(found, { mean: found.mean, low: found.mean, high: found.mean });
  });
});
