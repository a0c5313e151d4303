import assert from 'node:assert/strict';
import { Distribution, RELATIVE_ERROR, ZERO } from '../../engine/corpus/distribution';
import { studentQuantile } from '../../engine/measure/student';
import { agreement } from '../../scripts/lib/sketchAgreement';
import { random } from '../oracle/random';

describe('distributions over a corpus', () => {
  it('quantiles agree with exact ones within the stated error', () => {
    // scripts/sketches.ts does the same with ten million values.
    for (const { name, worst } of agreement(200_000))
      assert.ok(worst <= 1, `${name}: ${worst} of the stated error`);
  });

  it('parts merged in any order, or through a file, are the same to the last bit', () => {
    const { normal } = random(5);
    const parts = Array.from({ length: 12 }, (_, p) =>
      Float32Array.from({ length: 200 + p }, () => normal() * 10 ** (p % 5)),
    );
    const whole = new Distribution();
    for (const part of parts) whole.add(part);
    const each = parts.map(part => {
      const one = new Distribution();
      one.add(part);
      return Distribution.from(
        JSON.parse(JSON.stringify(one.stored())) as ReturnType<Distribution['stored']>,
      );
    });
    for (const order of [each, [...each].reverse(), [...each.slice(7), ...each.slice(0, 7)]]) {
      const merged = new Distribution();
      for (const one of order) merged.merge(one);
      assert.deepEqual(merged.stored(), whole.stored());
      assert.equal(merged.quantile(0.37), whole.quantile(0.37));
      assert.deepEqual(merged.interval, whole.interval);
    }
  });

  it('merges where a range ends at key 0 (the value 1)', () => {
    const [small, one] = [new Distribution(), new Distribution()];
    small.add([0.5]);
    one.add([1, 0.9]);
    small.merge(one);
    assert.equal(small.count, 3);
    assert.ok(Math.abs(small.quantile(1) - 1) <= RELATIVE_ERROR);
  });

  it('what is no number is not counted, and of nothing there is nothing to tell', () => {
    const found = new Distribution();
    assert.ok(Number.isNaN(found.mean) && Number.isNaN(found.quantile(0.5)));
    assert.equal(found.interval, null);
    found.add([NaN, Infinity, -Infinity, ZERO / 2]);
    assert.equal(found.count, 1);
    assert.equal(found.quantile(0.5), ZERO / 2);
  });

  it("Student's t as in the tables", () => {
    const table = { 1: 12.7062, 2: 4.30265, 3: 3.18245, 5: 2.57058, 10: 2.22814, 30: 2.04227, 1000: 1.96234 };
    for (const [degrees, quantile] of Object.entries(table)) {
      assert.ok(Math.abs(studentQuantile(Number(degrees)) - quantile) < 0.005, degrees);
    }
  });

  it('the interval of a mean holds it as often as it says', () => {
    const { normal } = random(9);
    let holds = 0;
    for (let trial = 0; trial < 400; trial++) {
      const sample = new Distribution();
      for (let t = 0; t < 8; t++) sample.add([3 + normal()]);
      const { low, high } = sample.interval!;
      if (low <= 3 && 3 <= high) holds++;
    }
    assert.ok(holds >= 365 && holds <= 395, String(holds));
  });
});
