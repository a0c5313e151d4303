import assert from 'node:assert/strict';
import { holds, type PairRule } from '../../engine/attention/mask';
import { linesOf, streamOf } from '../../engine/export/ruleShape';

describe('rules of masks in the words of other formats', () => {
  const window: PairRule = { near: 7 };

  it('first tokens and a window are a stream', () => {
    assert.deepEqual(streamOf(window), { sinks: 0, recent: 8, leftOut: 0 });
    assert.deepEqual(streamOf({ any: [{ first: 4 }, window] }), { sinks: 4, recent: 8, leftOut: 0 });
    const globals = (list: number[]): PairRule => ({ any: [window, { keys: list }, { queries: list }] });
    assert.deepEqual(streamOf(globals([0, 1, 2])), { sinks: 3, recent: 8, leftOut: 0 });
    assert.deepEqual(streamOf(globals([0, 1, 9, 12])), { sinks: 2, recent: 8, leftOut: 2 });
  });

  it('other rules are none', () => {
    assert.equal(streamOf({ block: 8 }), null);
    assert.equal(streamOf({ any: [window, { every: 3 }] }), null);
    assert.equal(streamOf({ all: [window, { every: 3 }] }), null);
  });

  it('columns and diagonals cover every pair of a rule', () => {
    const rules: [PairRule, { columns: number; diagonals: number }][] = [
      [{ any: [{ near: 3 }, { every: 5 }] }, { columns: 0, diagonals: 4 + 7 }],
      [{ all: [{ near: 12 }, { every: 4 }] }, { columns: 0, diagonals: 4 }],
      [{ any: [{ block: 8 }, { tail: 2, of: 8 }] }, { columns: 10, diagonals: 8 }],
      [{ any: [{ first: 4 }, { near: 0 }] }, { columns: 4, diagonals: 1 }],
    ];
    for (const [rule, lines] of rules) {
      assert.deepEqual(linesOf(rule, 40), lines);
      const pairs = Array.from({ length: 40 }, (_, p) =>
        [...Array(p + 1).keys()].filter(j => holds(rule, p, j)),
      );
      assert.ok(pairs.flat().length <= 40 * (lines.columns + lines.diagonals));
    }
    assert.equal(linesOf({ all: [{ block: 8 }, { first: 4 }] }, 40), null);
  });
});
