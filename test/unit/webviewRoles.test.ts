import assert from 'node:assert/strict';
import type { HeadProfile, Role } from '../../shared/protocol/engine';
import type { HeadAblation } from '../../shared/protocol/interventions';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { contrast, inkOn, parseColour } from '../../webview/draw/colour';
import { defaultMeasure, findMeasure, headMeasures } from '../../webview/model/measures';
import { ROLES } from '../../webview/model/roles';

const roles = Object.keys(ROLE_TITLES) as Role[];

describe('webview: glyphs of roles', () => {
  it('are told apart by their sign alone, and by their hue alone', () => {
    assert.equal(new Set(roles.map(role => ROLES[role].sign)).size, roles.length);
    for (const one of roles)
      for (const other of roles.filter(role => role !== one)) {
        const [a, b] = [ROLES[one].hue, ROLES[other].hue];
        const apart = Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
        assert.ok(apart > 30, `${one} and ${other}: ${apart}`);
      }
  });

  it('stand out from their hue, and say what the role is', () => {
    for (const role of roles) {
      const { hue, summary } = ROLES[role];
      assert.ok(contrast(hue, parseColour(inkOn(hue, [0, 0, 0]))!) >= 4.5, role);
      assert.match(summary, /\.$/);
    }
  });
});

describe('webview: the measure that heads are first told apart by', () => {
  const heads = [0.9, 0.4, 0.05].map((score, head): Partial<HeadProfile> => ({
    core: 0,
    head,
    roles: [{ role: 'induction', score }],
  })) as HeadProfile[];

  it('is the clearest role, in which heads differ, until what losing them costs was measured', () => {
    const first = headMeasures([]);
    const measure = findMeasure(first, defaultMeasure(first));
    assert.deepEqual(heads.map(measure.value), [0.9, 0.4, 0.05]);
    const zero = { delta: 0.5, low: 0.4, high: 0.6 };
    const ablated = { core: 0, head: 0, zero } as unknown as HeadAblation;
    const then = headMeasures([], null, [], { measure: 'loss', heads: [ablated] } as never);
    const costs = findMeasure(then, defaultMeasure(then));
    assert.deepEqual(heads.map(costs.value), [0.5, null, null]);
  });
});
