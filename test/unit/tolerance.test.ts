import assert from 'node:assert/strict';
import type { Plan } from '../../engine/model/cut/cutPlan';
import type { Difference } from '../../engine/model/verify/proof';
import { Tolerance } from '../../engine/model/verify/tolerance';

const plan = { graph: { nodes: [], type: () => 1 }, cores: [] } as unknown as Plan;
const off = (largest: number): Difference => ({
  largest,
  scale: 1,
  median: 0,
  argmaxAgreement: 1,
  equal: false,
});

describe('how far a cut model may depart', () => {
  it('2e-5 of the largest output where the model agrees with itself', () => {
    const tolerance = new Tolerance(plan, false, 1e-7);
    assert.equal(tolerance.accepts(off(1.9e-5), true, null), true);
    assert.equal(tolerance.accepts(off(2.1e-5), true, null), false);
    assert.equal(tolerance.amplifies([off(5e-6)]), false);
  });

  it('ten times what its own equivalent runs lie apart, whether or not they gave the same bits', () => {
    const tolerance = new Tolerance(plan, false, 1e-7).withSpread(8e-6);
    for (const bitEqual of [true, false]) {
      assert.equal(tolerance.accepts(off(7.9e-5), bitEqual, null), true);
      assert.equal(tolerance.accepts(off(8.1e-5), bitEqual, null), false);
    }
    // A smaller spread measured later does not narrow what was seen.
    assert.equal(tolerance.withSpread(0).spread, 8e-6);
  });

  it('never more than 1e-3, however far apart they lie; what is far off is no rounding', () => {
    const tolerance = new Tolerance(plan, false, 0.02);
    assert.equal(tolerance.accepts(off(9e-4), true, null), true);
    assert.equal(tolerance.accepts(off(1.1e-3), true, null), false);
    assert.equal(tolerance.amplifies([off(1e-3)]), true);
    assert.equal(tolerance.amplifies([off(0.5)]), false);
  });

  it('quantised models: each attention as the model has it, and the output as far off as its own rounding carries it', () => {
    const nodes = [{ op: 'DynamicQuantizeLinear', inputs: [], outputs: ['q'] }];
    const quantised = { graph: { nodes, type: () => 1 }, cores: [] } as unknown as Plan;
    const middle = (median: number, largest = 0.05) => ({ ...off(largest), median });
    const tolerance = new Tolerance(quantised, false, 0.06, 2e-3);
    assert.equal(tolerance.jumps, true);
    assert.equal(tolerance.accepts(middle(5.9e-3), true, 1e-6), true);
    assert.equal(tolerance.accepts(middle(6.1e-3), true, 1e-6), false);
    // Where the rest was not bit-equal, the output alone must tell.
    assert.equal(tolerance.accepts(middle(5.9e-3), false, 1e-6), false);
    assert.equal(tolerance.accepts(middle(9e-4), false, 1e-6), true);
    // An attention that is off by more than rounding, or was not compared, is never excused by the rounding of the rest.
    assert.equal(tolerance.accepts(middle(9e-4), true, 2e-4), false);
    assert.equal(tolerance.accepts(middle(9e-4), true, null), false);
    assert.equal(tolerance.accepts(middle(9e-4), true, NaN), false);
    // However the median: no output further off than a tenth, or three times what the model's own runs lie apart.
    assert.equal(tolerance.accepts(middle(9e-4, 0.17), true, 1e-6), true);
    assert.equal(tolerance.accepts(middle(9e-4, 0.19), true, 1e-6), false);
    assert.equal(new Tolerance(plan, false, 0.06, 2e-3).accepts(middle(9e-4), true, 1e-6), false);
  });
});
