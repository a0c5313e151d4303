import assert from 'node:assert/strict';
import { carried, interval, plain } from '../../shared/numbers';
import { seededUniform } from '../../shared/random';
import { carriersOf, isLeast, isLess, meanInterval } from '../../shared/uncertainty';
import { random } from '../oracle/random';

describe('how sure a change is', () => {
  /** Neighbours that correlate by `rho`, with variance 1 and mean 0. */
  const correlated = (length: number, rho: number, normal: () => number) => {
    let last = normal();
    return Float64Array.from({ length }, () => (last = rho * last + Math.sqrt(1 - rho * rho) * normal()));
  };

  /** Share of repeated texts whose interval holds the true mean, 0. */
  const coverage = (rho: number) => {
    const { normal } = random(17);
    let held = 0;
    for (let t = 0; t < 200; t++) {
      const { low, high } = meanInterval([correlated(1024, rho, normal)])!;
      if (low <= 0 && high >= 0) held++;
    }
    return held / 200;
  };

  it('the interval holds the mean in about 95 % of texts, also where neighbours are alike', () => {
    for (const rho of [0, 0.6]) {
      const held = coverage(rho);
      assert.ok(held >= 0.88 && held <= 0.99, `correlation ${rho}: ${held}`);
    }
  });

  it('of independent tokens it is as wide as the standard error says', () => {
    const { normal } = random(3);
    const { low, high } = meanInterval([Float64Array.from({ length: 4096 }, normal)])!;
    const expected = (2 * 1.96) / Math.sqrt(4096);
    assert.ok(Math.abs((high - low) / expected - 1) < 0.25, `${high - low}, expected ${expected}`);
  });

  it('differences between texts count, and not only those between tokens', () => {
    const { normal } = random(5);
    const texts = [0, 1, 2, 3].map(mean => Float64Array.from({ length: 512 }, () => mean + 0.1 * normal()));
    const { low, high } = meanInterval(texts)!;
    assert.ok(low < 0.9 && high > 2.1, `${low} to ${high}`);
    const joined = meanInterval([Float64Array.from(texts.flatMap(text => [...text]))])!;
    assert.ok(joined.low < 1.5 && joined.high > 1.5);
  });

  it('is the same for the same seed, moves with the values, and is null of a few tokens', () => {
    const { normal } = random(7);
    const values = Float64Array.from({ length: 300 }, normal);
    const first = meanInterval([values], 4)!;
    assert.deepEqual(meanInterval([values], 4), first);
    assert.notDeepEqual(meanInterval([values], 5), first);
    const moved = meanInterval([values.map(value => 2 * value + 1)], 4)!;
    assert.ok(Math.abs(moved.low - (2 * first.low + 1)) < 1e-9, 'linear');
    assert.equal(meanInterval([]), null);
    assert.equal(meanInterval([new Float64Array(0)]), null);
    assert.equal(meanInterval([new Float64Array(15)]), null);
    assert.deepEqual(meanInterval([new Float64Array(64)]), { low: 0, high: 0 });
  });

  it('one change is less than another when their difference, token by token, is beyond chance', () => {
    const { normal } = random(9);
    const change = Float32Array.from({ length: 512 }, () => 3 * normal());
    const a = { perToken: change };
    const more = { perToken: change.map(value => value + 0.05 + 0.05 * normal()) };
    const same = { perToken: change.map(value => value + 0.5 * normal()) };
    assert.equal(isLess(a, more), 'yes', 'paired: the tokens themselves differ far more');
    assert.equal(isLess(more, a), 'no');
    assert.equal(isLess(a, same), 'undecided');
    assert.equal(isLess(a, a), 'undecided');
    assert.equal(isLeast(a, [more, same]), 'undecided');
    assert.equal(isLeast(a, [more]), 'yes');
    assert.equal(isLeast(more, [same, a]), 'no');
    const lengths = [256, 256];
    assert.equal(isLess({ ...a, lengths }, more), 'yes', 'over two texts');
  });

  it('a few tokens may carry a change, whichever way it goes', () => {
    const perToken = new Float64Array(1000).fill(0.006);
    for (let t = 0; t < 10; t++) perToken[100 * t] = 0.4;
    const { share, tokens, of } = carriersOf(perToken)!;
    assert.deepEqual([tokens, of], [10, 1000]);
    assert.ok(Math.abs(share - 4 / (4 + 990 * 0.006)) < 1e-9);
    assert.ok(Math.abs(carriersOf(perToken.map(value => -value))!.share - share) < 1e-9);
    assert.equal(carriersOf(new Float64Array(100)), null);
    assert.equal(carriersOf([]), null);
  });

  it('is written alike everywhere', () => {
    assert.equal(plain(carried({ share: 0.4, tokens: 10, of: 1023 })), '40 % of it on 10 of 1,023 tokens');
    assert.equal(interval({ low: -0.01, high: 0.052 }), '−0.01 to +0.052');
    assert.equal(plain(interval({ low: -0.01, high: -0.005 })), '-0.01 to -0.005');
  });

  it('the seeded numbers are those of mulberry32', () => {
    const uniform = seededUniform(1);
    assert.equal(uniform(), 0.6270739405881613);
  });
});
