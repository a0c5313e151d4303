import type { Analysis } from '../analysis';
import { allPairs, assignedModel, effectOf, fitHeads } from '../changedRun';
import type { FoundPlan } from './plan';
import { rangeOf } from './baselines';
import type {
  Change,
  EmbeddingChange,
  HeadAssignment,
  MechanismParams,
  Setting,
  Plan,
  RunEffect,
} from '../../../shared/protocol/engine';
import { differenceOf, isLeast } from '../../../shared/uncertainty';

/** One setting in every head. */
export interface UniformOnText {
  choice: Setting;
  settled: MechanismParams;
  share: number;
  delta: number;
  embedding?: EmbeddingChange;
  /** How much more the plan changes. */
  difference: Change;
}

/** A plan and its baselines on one text, as they are: nothing is chosen anew. */
export interface PlanOnText {
  tokens: number;
  share: number;
  effect: RunEffect;
  /** Least change first. */
  uniform: UniformOnText[];
  floor: UniformOnText | null;
  random: Plan['random'];
  wins: Plan['wins'];
}

export async function testPlan(
  text: Analysis,
  { assignment, uniform, floor, random }: Pick<FoundPlan, 'assignment' | 'uniform' | 'floor' | 'random'>,
  signal: AbortSignal,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<PlanOnText> {
  const all = allPairs(text);
  const everywhere = [...uniform, ...(floor ? [floor] : [])];
  await fitHeads(text, [assignment, ...everywhere.map(({ heads }) => heads), ...random].flat(), signal);
  const count = 1 + everywhere.length + random.length;
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
  const runUniform = async ({ choice, heads }: FoundPlan['uniform'][number]) => {
    const { share, effect } = await run(heads);
    const difference = differenceOf(plan.effect, effect);
    const { delta, embedding } = effect;
    const found = { choice, settled: text.settled(choice), share, delta, difference, effect };
    return { ...found, ...(embedding && { embedding }) };
  };
  const baselines: (UniformOnText & { effect: RunEffect })[] = [];
  for (const one of uniform) baselines.push(await runUniform(one));
  baselines.sort((a, b) => a.delta - b.delta);
  const lowest = floor && (await runUniform(floor));
  const drawn: RunEffect[] = [];
  for (const heads of random) drawn.push((await run(heads)).effect);
  return {
    tokens: text.tokens.ids.length,
    ...plan,
    uniform: baselines.map(withoutEffect),
    floor: lowest && withoutEffect(lowest),
    random: rangeOf(drawn),
    wins: isLeast(plan.effect, [...baselines.map(({ effect }) => effect), ...drawn]),
  };
}

const withoutEffect = ({ effect: _, ...rest }: UniformOnText & { effect: RunEffect }): UniformOnText => rest;
