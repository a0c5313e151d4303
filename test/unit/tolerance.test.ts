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
    assert.equal(tolerance.accepts(off(1.9e-5), true), true);
    assert.equal(tolerance.accepts(off(2.1e-5), true), false);
    assert.equal(tolerance.amplifies([off(5e-6)]), false);
  });

  it('ten times what its own equivalent runs lie apart, whether or not they gave the same bits', () => {
    const tolerance = new Tolerance(plan, false, 1e-7).withSpread(8e-6);
    for (const bitEqual of [true, false]) {
      assert.equal(tolerance.accepts(off(7.9e-5), bitEqual), true);
      assert.equal(tolerance.accepts(off(8.1e-5), bitEqual), false);
    }
    // A smaller spread measured later does not narrow what was seen.
    assert.equal(tolerance.withSpread(0).spread, 8e-6);
  });

  it('never more than 1e-3, however far apart they lie; what is far off is no rounding', () => {
    const tolerance = new Tolerance(plan, false, 0.02);
    assert.equal(tolerance.accepts(off(9e-4), true), true);
    assert.equal(tolerance.accepts(off(1.1e-3), true), false);
    assert.equal(tolerance.amplifies([off(1e-3)]), true);
    assert.equal(tolerance.amplifies([off(0.5)]), false);
  });

  it('quantised models in the median: as far as their own runs lie apart, where the cut is exact, and never far', () => {
    const nodes = [{ op: 'DynamicQuantizeLinear', inputs: [], outputs: ['q'] }];
    const quantised = { graph: { nodes, type: () => 1 }, cores: [] } as unknown as Plan;
    const middle = (median: number) => ({ ...off(0.05), median });
    const tolerance = new Tolerance(quantised, false, 0.06, 2e-3);
    assert.equal(tolerance.accepts(middle(3.9e-3), true), true);
    assert.equal(tolerance.accepts(middle(4.1e-3), true), false);
    assert.equal(tolerance.accepts(middle(3.9e-3), false), false);
    assert.equal(tolerance.withSpread(0.06, 0.5).accepts(middle(2.1e-2), true), false);
    assert.equal(new Tolerance(plan, false, 0.06, 2e-3).accepts(middle(3.9e-3), true), false);
  });
});
