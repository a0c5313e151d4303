import type { Analysis } from './analysis';
import { allPairs, assignedModel, effectOf } from './changedRun';
import { ROUNDING, type FoundPlan } from './plan';
import type { HeadAssignment, MechanismChoice, RunEffect } from '../protocol';
import type { Cancellation } from '../runtime/cancellation';

/** A plan and its rivals on one text, as they are: nothing is chosen anew. */
export interface PlanOnText {
  tokens: number;
  share: number;
  effect: RunEffect;
  /** Least change first. */
  uniform: { choice: MechanismChoice; share: number; delta: number }[];
  random: { runs: number; mean: number; least: number; most: number };
  /** No rival lost less. */
  wins: boolean;
}

export async function testPlan(
  text: Analysis,
  { assignment, uniform, random }: Pick<FoundPlan, 'assignment' | 'uniform' | 'random'>,
  cancellation: Cancellation,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<PlanOnText> {
  const all = await allPairs(text);
  const count = 1 + uniform.length + random.length;
  let done = 0;
  const run = async (heads: readonly HeadAssignment[]) => {
    let pairs = all;
    const spend = (own: number, dense: number) => (pairs -= dense - own);
    const output = await assignedModel(text, heads, cancellation, undefined, spend);
    const effect = await effectOf(text, output, cancellation);
    onProgress(++done / count);
    return { share: pairs / all, effect };
  };
  const plan = await run(assignment);
  const rivals: PlanOnText['uniform'] = [];
  for (const { choice, heads } of uniform) {
    const { share, effect } = await run(heads);
    rivals.push({ choice, share, delta: effect.delta });
  }
  rivals.sort((a, b) => a.delta - b.delta);
  const drawn: number[] = [];
  for (const heads of random) drawn.push((await run(heads)).effect.delta);
  return {
    tokens: text.tokens.ids.length,
    ...plan,
    uniform: rivals,
    random: {
      runs: drawn.length,
      mean: drawn.reduce((sum, delta) => sum + delta, 0) / Math.max(1, drawn.length),
      least: drawn.length === 0 ? 0 : Math.min(...drawn),
      most: drawn.length === 0 ? 0 : Math.max(...drawn),
    },
    wins: [...rivals.map(({ delta }) => delta), ...drawn].every(
      delta => plan.effect.delta <= delta + ROUNDING,
    ),
  };
}
