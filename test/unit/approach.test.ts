import assert from 'node:assert/strict';
import { Approach } from '../../engine/service/approach';

/** What is spent in the end, from below, and after how many tries. */
function approached(share: number, spend: (asked: number) => number | null): { best: number; tries: number } {
  const approach = new Approach(share);
  let best = 0;
  let tries = 0;
  for (; approach.asked !== null; tries++) {
    const spent = spend(approach.asked);
    if (spent !== null && spent <= share) best = Math.max(best, spent);
    approach.told(spent);
  }
  return { best, tries };
}

describe('settings that are told what they spend', () => {
  const laws: [string, (asked: number) => number][] = [
    ['less than was asked for', asked => 0.4 * asked],
    ['more', asked => 2.2 * asked],
    ['more and more', asked => 10 * asked ** 2.2],
    ['in steps', asked => Math.floor(40 * asked ** 1.5) / 130],
    ['with a floor', asked => 0.04 + asked ** 2],
  ];
  for (const [name, spend] of laws) {
    it(`come near a share from below: ${name}`, () => {
      const { best, tries } = approached(0.1, spend);
      assert.ok(best >= 0.09 && best <= 0.1, `${best} after ${tries}`);
      assert.ok(tries <= 7);
    });
  }

  it('end where there is nothing to be had', () => {
    assert.deepEqual(
      approached(0.1, () => null),
      { best: 0, tries: 1 },
    );
    assert.equal(approached(0.1, () => 0.5).best, 0);
    assert.equal(approached(0.1, () => 0).best, 0);
  });
});
