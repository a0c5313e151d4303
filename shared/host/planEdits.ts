import { say } from '../sentences';
import { describeSetting } from '../setting';
import { isLeast } from '../uncertainty';
import type { AssignResult, HeadAssignment, Note, Plan } from '../protocol/engine';

const BY_HAND: Note = { kind: 'byHand', text: say('byHand') };

/** The heads of a plan, one of them with another mechanism. */
export function withHead(plan: Plan, change: HeadAssignment): HeadAssignment[] {
  const same = ({ core, head }: { core: number; head: number }) =>
    core === change.core && head === change.head;
  const heads = plan.heads.map(({ core, head, choice }) => ({ core, head, choice }));
  return heads.some(same) ? heads.map(one => (same(one) ? change : one)) : [...heads, change];
}

/** A plan after a change by hand, with what the model's run with it has measured. */
export function changedPlan(
  plan: Plan,
  change: HeadAssignment,
  heads: HeadAssignment[],
  found: AssignResult,
): Plan {
  const key = ({ core, head }: { core: number; head: number }) => `${core}.${head}`;
  const before = new Map(plan.heads.map(one => [key(one), one]));
  const choices = new Map(heads.map(one => [key(one), one.choice]));
  const baselines = [
    ...plan.uniform.map(({ effect }) => effect),
    ...(plan.random.leastPerToken ? [{ perToken: plan.random.leastPerToken }] : []),
  ];
  return {
    ...plan,
    pairs: found.pairs,
    densePairs: found.densePairs,
    effect: found.effect,
    wins: isLeast(found.effect, baselines),
    // What was said of the comparison is about the plan as it was found.
    notes: [...plan.notes.filter(({ kind }) => kind !== 'byHand' && kind !== 'defeat'), BY_HAND],
    heads: found.heads.map(comparison => ({
      ...comparison,
      choice: choices.get(key(comparison))!,
      sensitivity: before.get(key(comparison))?.sensitivity ?? 0,
    })),
    tried: [
      ...plan.tried,
      {
        what: `by hand: core ${change.core}, head ${change.head}: ${describeSetting(change.choice)}`,
        delta: found.effect.delta,
        kept: true,
      },
    ],
  };
}
