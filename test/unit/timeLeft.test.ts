import assert from 'node:assert/strict';
import { PlanClock, timeLeft } from '../../engine/service/timeLeft';
import { plain, progressWords } from '../../shared/numbers';

/** A clock that is set by hand, in seconds. */
function handClock() {
  const clock = { at: 0, read: () => clock.at };
  return clock;
}

const FREE = { leastRuns: 1, maxSeconds: Infinity };

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

  it('of a plan counts comparisons and runs', () => {
    const clock = handClock();
    const plan = new PlanClock({ ...FREE, maxRuns: 20, secondsOfRun: 2 }, clock.read);
    const near = (value: number, wanted: number) => assert.ok(Math.abs(value - wanted) < 1e-9, `${value}`);
    assert.equal(plan.exploring(0), 0);
    clock.at = 10;
    // A quarter of the heads in 10 s: 30 s to come, 14 s for the baselines, and 20 runs of 2 s each.
    near(plan.exploring(0.25), 10 / (10 + 30 + 14 + 40));
    clock.at = 40;
    near(plan.exploring(1), 40 / (40 + 14 + 40));
    clock.at = 45;
    near(plan.ran(5), 45 / (45 + 14 + 95));
    clock.at = 50;
    plan.comparedBaselines();
    for (let run = 2; run < 20; run++) {
      clock.at += 5;
      plan.ran(5);
    }
    clock.at += 5;
    near(plan.ran(5), 1);
    assert.ok(!plan.presses);
  });

  it('of a plan that may not take longer is what there is time for, and the runs that are made in any case', () => {
    const clock = handClock();
    const plan = new PlanClock({ maxRuns: 100, leastRuns: 5, secondsOfRun: 2, maxSeconds: 67 }, clock.read);
    clock.at = 1;
    plan.exploring(0.01);
    assert.ok(!plan.presses, 'too early to tell');
    clock.at = 10;
    plan.exploring(0.5);
    assert.ok(plan.presses);
    // 10 s of comparisons to come, and 7 s for the baselines.
    assert.equal(plan.left, 20);
    clock.at = 20;
    plan.exploring(1);
    plan.comparedBaselines();
    clock.at = 30;
    // A run takes 10 s: time for 3 more, though 4 are made.
    assert.equal(plan.ran(10), 30 / 70);
    assert.equal(plan.left, 3);
    clock.at = 70;
    assert.equal(plan.left, 0);
  });

  it('is told by the job as it goes', () => {
    const clock = handClock();
    const [left, plan] = [
      timeLeft(clock.read),
      new PlanClock({ ...FREE, maxRuns: 10, secondsOfRun: 3 }, clock.read),
    ];
    left(plan.exploring(0));
    clock.at = 40;
    assert.ok(Math.abs(left(plan.exploring(0.5))! - (40 + 28 + 30)) < 1e-9);
  });

  it('in words', () => {
    assert.equal(plain(progressWords(0.123, undefined)), '12 %');
    assert.equal(plain(progressWords(0.5, 41.6)), '50 %, about 42 s left');
    assert.equal(plain(progressWords(0.5, 250)), '50 %, about 4 min left');
    assert.equal(plain(progressWords(0.01, 7000)), '1 %, about 1.9 h left');
  });
});
