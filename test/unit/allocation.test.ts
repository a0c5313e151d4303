import assert from 'node:assert/strict';
import { allocate, lowerHull, paretoFront, type Option } from '../../engine/measure/allocation';
import { random } from '../oracle/random';

const pairsOf = (heads: Option[][], chosen: number[]) =>
  chosen.reduce((sum, at, head) => sum + heads[head]![at]!.pairs, 0);
const costOf = (heads: Option[][], chosen: number[]) =>
  chosen.reduce((sum, at, head) => sum + heads[head]![at]!.cost, 0);

/** Every combination. */
function best(heads: Option[][], budget: number): number {
  const [first, ...rest] = heads;
  if (!first) return 0;
  return Math.min(
    ...first.map(({ pairs, cost }) => (pairs > budget ? Infinity : cost + best(rest, budget - pairs))),
  );
}

describe('allocation of a budget to heads', () => {
  const { uniform } = random(5);
  const whole = (most: number) => Math.floor(uniform() * most);
  const drawn = (heads: number, options: number): Option[][] =>
    Array.from({ length: heads }, () =>
      Array.from({ length: options }, () => ({ pairs: whole(50), cost: uniform() })),
    );

  it('the front holds what no other option beats in pairs and cost', () => {
    for (let trial = 0; trial < 200; trial++) {
      const [options] = drawn(1, 12);
      const front = new Set(paretoFront(options!));
      for (const [at, one] of options!.entries()) {
        const beaten = options!.some(
          (other, o) =>
            other.pairs <= one.pairs &&
            other.cost <= one.cost &&
            (other.pairs < one.pairs || other.cost < one.cost || o < at),
        );
        assert.equal(front.has(at), !beaten);
      }
    }
  });

  it('the hull is convex and below every option', () => {
    for (let trial = 0; trial < 200; trial++) {
      const [options] = drawn(1, 12);
      const hull = lowerHull(options!).map(at => options![at]!);
      for (let t = 2; t < hull.length; t++) {
        const [a, b, c] = [hull[t - 2]!, hull[t - 1]!, hull[t]!];
        const rate = (from: Option, to: Option) => (from.cost - to.cost) / (to.pairs - from.pairs);
        assert.ok(rate(a, b) > rate(b, c));
      }
      for (const { pairs, cost } of options!) {
        const after = hull.findIndex(one => one.pairs >= pairs);
        if (after <= 0) continue;
        const [a, b] = [hull[after - 1]!, hull[after]!];
        const line = a.cost + ((b.cost - a.cost) * (pairs - a.pairs)) / (b.pairs - a.pairs);
        assert.ok(cost >= line - 1e-12);
      }
    }
  });

  it('stays within the budget, and a larger budget never costs more', () => {
    for (let trial = 0; trial < 300; trial++) {
      const heads = drawn(1 + whole(6), 1 + whole(7));
      let before = Infinity;
      for (let budget = 0; budget <= 320; budget += 1 + whole(12)) {
        const chosen = allocate(heads, budget);
        const least = heads.reduce((sum, list) => sum + Math.min(...list.map(({ pairs }) => pairs)), 0);
        assert.equal(chosen === null, budget < least);
        if (!chosen) continue;
        assert.ok(pairsOf(heads, chosen) <= budget);
        const cost = costOf(heads, chosen);
        assert.ok(cost <= before + 1e-12, `${cost} at ${budget}, ${before} with less`);
        before = cost;
      }
      const all = heads.reduce((sum, list) => sum + Math.min(...list.map(({ cost }) => cost)), 0);
      assert.ok(Math.abs(before - all) < 1e-12, 'with enough every head has its best');
    }
  });

  it('is the best there is where every step costs as many pairs and gains less than the one before', () => {
    for (let trial = 0; trial < 100; trial++) {
      const heads = Array.from({ length: 4 }, () => {
        const gains = Array.from({ length: 5 }, uniform).sort((a, b) => b - a);
        let cost = 10;
        return [
          { pairs: 3, cost },
          ...gains.map((gain, t) => ({ pairs: 3 * (t + 2), cost: (cost -= gain) })),
        ];
      });
      const budget = 12 + whole(60);
      assert.ok(Math.abs(costOf(heads, allocate(heads, budget)!) - best(heads, budget)) < 1e-9);
    }
  });

  it('is never better than the best there is, and within one step of it', () => {
    for (let trial = 0; trial < 200; trial++) {
      const heads = drawn(4, 6);
      const budget = whole(150);
      const chosen = allocate(heads, budget);
      if (!chosen) continue;
      const [found, least] = [costOf(heads, chosen), best(heads, budget)];
      assert.ok(found >= least - 1e-12);
      // What is lost against the optimum is at most the largest gain of one head (Everett, 1963).
      const largest = Math.max(
        ...heads.map(
          list => Math.max(...list.map(({ cost }) => cost)) - Math.min(...list.map(({ cost }) => cost)),
        ),
      );
      assert.ok(found - least <= largest);
    }
  });
});
