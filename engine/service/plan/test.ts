import type { Analysis } from '../analysis';
import { allPairs, assignedModel, effectOf, fitHeads } from '../changedRun';
import type { FoundPlan } from './plan';
import { rangeOf } from './baselines';
import type {
  HeadAssignment,
  MechanismParams,
  Setting,
  Plan,
  RunEffect,
} from '../../../shared/protocol/engine';
import { isLeast } from '../../../shared/uncertainty';

/** A plan and its baselines on one text, as they are: nothing is chosen anew. */
export interface PlanOnText {
  tokens: number;
  share: number;
  effect: RunEffect;
  /** Least change first. */
  uniform: { choice: Setting; settled: MechanismParams; share: number; delta: number }[];
  random: Plan['random'];
  wins: Plan['wins'];
}

export async function testPlan(
  text: Analysis,
  { assignment, uniform, random }: Pick<FoundPlan, 'assignment' | 'uniform' | 'random'>,
  signal: AbortSignal,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<PlanOnText> {
  const all = allPairs(text);
  await fitHeads(text, [assignment, ...uniform.map(({ heads }) => heads), ...random].flat(), signal);
  const count = 1 + uniform.length + random.length;
  let done = 0;
  const run = async (heads: readonly HeadAssignment[]) => {
    let pairs = all;
    const spend = (own: number, dense: number) => (pairs -= dense - own);
    const output = await assignedModel(text, heads, signal, undefined, spend);
    const effect = await effectOf(text, output, signal);
    onProgress(++done / count);
    return { share: pairs / all, effect };
  };
  const plan = await run(assignment);
  const baselines: (PlanOnText['uniform'][number] & { effect: RunEffect })[] = [];
  for (const { choice, heads } of uniform) {
    const { share, effect } = await run(heads);
    baselines.push({ choice, settled: text.settled(choice), share, delta: effect.delta, effect });
  }
  baselines.sort((a, b) => a.delta - b.delta);
  const drawn: RunEffect[] = [];
  for (const heads of random) drawn.push((await run(heads)).effect);
  return {
    tokens: text.tokens.ids.length,
    ...plan,
    uniform: baselines.map(({ effect: _, ...rest }) => rest),
    random: rangeOf(drawn),
    wins: isLeast(plan.effect, [...baselines.map(({ effect }) => effect), ...drawn]),
  };
}
