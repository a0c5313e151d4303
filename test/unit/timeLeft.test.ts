import assert from 'node:assert/strict';
import { PlanClock, timeLeft } from '../../engine/service/timeLeft';
import { plain, progressWords } from '../../shared/numbers';

/** A clock that is set by hand, in seconds. */
function handClock() {
  const clock = { at: 0, read: () => clock.at };
  return clock;
}

describe('the time that is left', () => {
  it('follows from what was done since the job began, in the midst of a longer one or not', () => {
    const clock = handClock();
    const left = timeLeft(clock.read);
    assert.equal(left(0.5), null);
    clock.at = 2;
    assert.equal(left(0.6), null, 'too early to tell');
    clock.at = 10;
    assert.equal(left(0.75), 10);
    assert.equal(left(0.51), null, 'too little to tell');
    clock.at = 20;
    assert.equal(left(1), 0);
  });

  it('of a plan counts heads first, then runs with what is compared between them', () => {
    const clock = handClock();
    const plan = new PlanClock(20, 2, clock.read);
    assert.equal(plan.exploring(0), 0);
    clock.at = 10;
    // A quarter of the heads in 10 s: 30 s to come, and 20 runs of 2 s each.
    assert.equal(plan.exploring(0.25), 10 / 80);
    clock.at = 40;
    assert.equal(plan.exploring(1), 40 / 80);
    clock.at = 45;
    // The first run took 5 s.
    assert.equal(plan.ran(), 45 / 140);
    for (let run = 2; run < 20; run++) {
      clock.at += 5;
      plan.ran();
    }
    clock.at += 5;
    assert.equal(plan.ran(), 1);
  });

  it('is told by the job as it goes', () => {
    const clock = handClock();
    const [left, plan] = [timeLeft(clock.read), new PlanClock(10, 3, clock.read)];
    left(plan.exploring(0));
    clock.at = 30;
    assert.ok(Math.abs(left(plan.exploring(0.5))! - 60) < 1e-9, 'half the heads, and ten runs');
  });

  it('in words', () => {
    assert.equal(plain(progressWords(0.123, undefined)), '12 %');
    assert.equal(plain(progressWords(0.5, 41.6)), '50 %, about 42 s left');
    assert.equal(plain(progressWords(0.5, 250)), '50 %, about 4 min left');
    assert.equal(plain(progressWords(0.01, 7000)), '1 %, about 1.9 h left');
  });
});
