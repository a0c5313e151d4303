import type { Analysis } from './analysis';
import { Candidates } from './planCandidates';
import { PlanRuns } from './planRuns';
import { percent, PlanSearch, sum, type Choice, type Found } from './planSearch';
import { randomChoices, uniformChoices, type Uniform } from './planRivals';
import { findMechanism } from '../attention/registry';
import { UsageError } from '../errors';
import type { HeadAssignment, MechanismChoice, Plan, PlanParams } from '../protocol';
import type { Cancellation } from '../runtime/cancellation';

export type PlanOptions = Omit<PlanParams, 'id'>;

/** A plan, and what it was compared with, so that both can be run on other texts. */
export interface FoundPlan {
  plan: Plan;
  assignment: HeadAssignment[];
  uniform: { choice: MechanismChoice; heads: HeadAssignment[] }[];
  random: HeadAssignment[][];
}

/** Assignments drawn at random, to see what choosing is worth. */
const RANDOM_RUNS = 5;

/** Budgets of the curve, as multiples of the plan's; those of the second list are measured when runs are left. */
const CURVE = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 3 / 2, 2, 3, 4, 6];
const MEASURED = [2, 1 / 2, 4];

/** Of the time of a plan: comparing every head with its candidates. */
const LOCAL_PART = 0.5;

/**
 * A mechanism and its setting for each head within a budget of pairs: from the local errors of many candidates, weighed
 * by how the model takes the errors of each head, corrected by runs of the whole model.
 *
 * `texts`: finished analyses of the same model; the first one's length decides what a share means in tokens.
 * `rivals`: compare with uniform choices and random assignments.
 * @throws RefusedError when no choice spends so few pairs; UsageError for a budget or mechanism that does not exist.
 */
export async function makePlan(
  texts: readonly Analysis[],
  options: PlanOptions,
  cancellation: Cancellation,
  onProgress: (fraction: number, message: string) => void = () => undefined,
  rivals = true,
): Promise<FoundPlan> {
  const { budget, maxRuns } = options;
  if (!(budget > 0 && budget <= 1)) {
    throw new UsageError('The budget of a plan is a share of the dense pairs, above 0 and at most 1.');
  }
  const candidates = await Candidates.start(texts, options.mechanisms, cancellation);
  await candidates.explore(budget, done => onProgress(LOCAL_PART * done, 'Every head under every mechanism'));
  const runs = new PlanRuns(texts, maxRuns, cancellation, (what, done) =>
    onProgress(LOCAL_PART + (1 - LOCAL_PART) * done, `The text runs on: ${what}`),
  );
  const search = new PlanSearch(candidates, runs, budget);
  let best = await search.start();
  const uniform = rivals ? await runUniform(search, await uniformChoices(search, texts)) : [];
  const random = rivals ? await runAll(search, randomChoices(search, RANDOM_RUNS), 'drawn at random') : [];
  const curveRuns = rivals && runs.left >= 4 * MEASURED.length ? MEASURED.length : 0;
  best = await search.sensitivities(best, Math.floor(maxRuns / 3));
  for (const one of uniform) {
    if (one.found.outcome.objective < best.outcome.objective) best = one.found;
  }
  best = await search.correct(best, runs.left - curveRuns);
  const curve = await curveOf(search, best, curveRuns);
  onProgress(1, 'Plan');

  const plan = { ...planOf(search, best, uniform, random), curve, tried: runs.tried };
  return {
    plan,
    assignment: search.assignment(best.chosen),
    uniform: uniform.map(({ choice, found }) => ({ choice, heads: search.assignment(found.chosen) })),
    random: random.map(({ chosen }) => search.assignment(chosen)),
  };
}

interface TriedUniform {
  choice: MechanismChoice;
  found: Found;
}

/** Least change first. */
async function runUniform(search: PlanSearch, list: readonly Uniform[]): Promise<TriedUniform[]> {
  const tried: TriedUniform[] = [];
  for (const { choice, chosen } of list) {
    const { title } = findMechanism(choice.name).info;
    tried.push({ choice, found: await search.run(`${title} in every head`, chosen) });
  }
  return tried.sort((a, b) => deltaOf(a.found) - deltaOf(b.found));
}

async function runAll(search: PlanSearch, list: readonly Choice[], what: string): Promise<Found[]> {
  const tried: Found[] = [];
  for (const chosen of list) tried.push(await search.run(what, chosen));
  return tried;
}

function planOf(
  search: PlanSearch,
  best: Found,
  uniform: readonly TriedUniform[],
  random: readonly Found[],
): Omit<Plan, 'curve' | 'tried'> {
  const { candidates, budget, dense } = search;
  const pairs = sum(best.chosen, one => one.pairs);
  const drawn = random.map(deltaOf);
  const rivals = [...uniform.map(({ found }) => deltaOf(found)), ...drawn];
  const wins = rivals.every(delta => deltaOf(best) <= delta);
  return {
    budget,
    pairs,
    densePairs: dense,
    heads: best.chosen.map(({ onFront: _, ...candidate }, at) => ({
      ...candidate,
      sensitivity: search.sensitivity[at]!,
    })),
    effect: best.outcome.effect,
    uniform: uniform.map(({ choice, found }) => ({
      choice,
      share: sum(found.chosen, one => one.pairs) / dense,
      effect: found.outcome.effect,
    })),
    random: {
      runs: drawn.length,
      mean: drawn.length === 0 ? 0 : sum(drawn, delta => delta) / drawn.length,
      least: drawn.length === 0 ? 0 : Math.min(...drawn),
      most: drawn.length === 0 ? 0 : Math.max(...drawn),
    },
    wins,
    candidates: candidates.all(),
    notes: notesOf(best, uniform, drawn, wins),
  };
}

function notesOf(
  best: Found,
  uniform: readonly TriedUniform[],
  random: readonly number[],
  wins: boolean,
): string[] {
  const notes: string[] = [];
  const [first] = uniform;
  if (!wins && first && deltaOf(first.found) < deltaOf(best)) {
    const { title } = findMechanism(first.choice.name).info;
    notes.push(`The plan does not win: ${title} in every head lost less on this text at the same budget.`);
  } else if (!wins) {
    const count = random.filter(delta => delta < deltaOf(best)).length;
    notes.push(
      `The plan does not win: ${count} of ${random.length} random assignments lost less on this text.`,
    );
  }
  const names = [...new Set(best.chosen.map(({ choice }) => choice.name))].map(findMechanism);
  const looking = names.filter(({ info }) => !info.causalSelection).map(({ info }) => info.title);
  if (looking.length > 0) {
    notes.push(`Chosen by looking at the whole text: the pairs of ${looking.join(', ')}.`);
  }
  if (best.outcome.effect.measure === 'output') {
    notes.push('The model predicts no next token: instead of the loss, the turn of its output is measured.');
  }
  return notes;
}

/** Change against budget: predicted from the local errors, on the scale of what the plan itself changed. */
async function curveOf(search: PlanSearch, best: Found, runs: number): Promise<Plan['curve']> {
  const predicted = search.predicted(best.chosen);
  const delta = Math.max(deltaOf(best), 0) || best.outcome.objective;
  const scale = predicted > 0 ? delta / predicted : 0;
  const points: Plan['curve'] = [
    { share: sum(best.chosen, one => one.pairs) / search.dense, delta: deltaOf(best), measured: true },
    { share: 1, delta: 0, measured: true },
  ];
  for (const factor of CURVE) {
    const share = factor * search.budget;
    const chosen = share < 1 ? search.chooseWithin(share * search.dense) : null;
    if (!chosen) continue;
    const spent = sum(chosen, one => one.pairs) / search.dense;
    if (MEASURED.slice(0, runs).includes(factor)) {
      const found = await search.run(`at ${percent(share)} of the pairs`, chosen);
      points.push({ share: spent, delta: deltaOf(found), measured: true });
    } else {
      points.push({ share: spent, delta: scale * search.predicted(chosen), measured: false });
    }
  }
  return points.sort((a, b) => a.share - b.share);
}

function deltaOf({ outcome }: Found): number {
  return outcome.effect.delta;
}
