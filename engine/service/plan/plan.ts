import type { Analysis } from '../analysis';
import { duration, plain, plainPercent } from '../../../shared/numbers';
import { OUTPUT_NOTE } from '../changedRun';
import { Candidates } from './candidates';
import { PlanRuns } from './runs';
import { PlanClock } from '../timeLeft';
import { losesLess, PlanSearch, sum, type Choice, type Found } from './search';
import { floorChoices, randomChoices, rangeOf, uniformChoices, type Uniform } from './baselines';
import { choiceNote, findMechanism } from '../../attention/registry';
import { UsageError } from '../../errors';
import type { HeadAssignment, Interval, Setting, Plan, PlanParams } from '../../../shared/protocol/engine';
import { totalSpending } from '../../measure/spending';
import { UNITS } from '../../../shared/budgetUnits';
import { isLeast, isLess, meanInterval, textsOf } from '../../../shared/uncertainty';
import type { Note, NoteKind } from '../../../shared/protocol/notes';
import { say } from '../../../shared/sentences';

export type PlanOptions = Omit<PlanParams, 'id'>;

/** A plan, and what it was compared with, so that both can be run on other texts. */
export interface FoundPlan {
  plan: Plan;
  assignment: HeadAssignment[];
  uniform: { choice: Setting; heads: HeadAssignment[] }[];
  floor: { choice: Setting; heads: HeadAssignment[] } | null;
  random: HeadAssignment[][];
}

/** Assignments drawn at random, to see what choosing is worth. */
const RANDOM_RUNS = 5;

/** Budgets of the curve, as multiples of the plan's; those of the second list are measured when runs are left. */
const CURVE = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 3 / 2, 2, 3, 4, 6];
const MEASURED = [2, 1 / 2, 4];

/**
 * A mechanism and its setting for each head within a budget of pairs: from the local errors of many candidates, weighed
 * by how the model takes the errors of each head, corrected by runs of the whole model.
 *
 * `texts`: finished analyses of the same model; the first one's length decides what a share means in tokens.
 * `baselines`: compare with uniform choices and random assignments.
 * @throws RefusedError when no choice spends so few pairs; UsageError for a budget or mechanism that does not exist.
 */
export async function makePlan(
  texts: readonly Analysis[],
  options: PlanOptions,
  signal: AbortSignal,
  onProgress: (fraction: number, message: string) => void = () => undefined,
  baselines = true,
): Promise<FoundPlan> {
  const { budget, maxRuns, maxSeconds = Infinity, unit = 'pairs', tied = false } = options;
  if (!(budget > 0 && budget <= 1)) {
    throw new UsageError(
      'The budget of a plan is a share of what dense attention spends, above 0 and at most 1.',
    );
  }
  const candidates = await Candidates.start(texts, options.mechanisms, unit, signal);
  // Until the model was run with mechanisms, such a run is thought to take as long as the dense one.
  const clock = new PlanClock({
    maxRuns,
    leastRuns: baselines ? 2 * candidates.mechanisms.length + RANDOM_RUNS : 1,
    secondsOfRun: sum(texts, text => text.denseSeconds),
    maxSeconds,
  });
  const onHead = (done: number) => onProgress(clock.exploring(done), say('everyHead'));
  await candidates.explore(budget, onHead, () => clock.presses);
  const onRun = (what: string, seconds: number) => onProgress(clock.ran(seconds), say('runsOn', what));
  const runs = new PlanRuns(texts, maxRuns, signal, onRun, () => clock.left);
  const search = new PlanSearch(candidates, runs, budget, tied);
  let best = await search.start();
  const choices = baselines ? await uniformChoices(search, texts) : [];
  clock.comparedBaselines();
  const uniform = await runUniform(search, choices);
  const [floor] = baselines ? await runUniform(search, [await floorChoices(search)]) : [];
  const random = baselines ? await runAll(search, randomChoices(search, RANDOM_RUNS), 'drawn at random') : [];
  const curveRuns = baselines && runs.left >= 4 * MEASURED.length ? MEASURED.length : 0;
  best = await search.sensitivities(best, Math.floor(maxRuns / 3));
  for (const one of uniform) {
    if (losesLess(one.found, best)) best = one.found;
  }
  best = await search.correct(best, runs.left - curveRuns);
  const curve = await curveOf(search, best, curveRuns);
  const isCutShort = runs.left === 0 && runs.tried.length < maxRuns;
  onProgress(1, 'Plan');

  const found = planOf(search, best, uniform, floor ?? null, random);
  if (isCutShort) found.notes.push(timeNote(runs.tried.length, maxRuns, maxSeconds));
  const plan = { ...found, curve, tried: runs.tried };
  const assigned = ({ choice, found }: TriedUniform) => ({ choice, heads: search.assignment(found.chosen) });
  return {
    plan,
    assignment: search.assignment(best.chosen),
    uniform: uniform.map(assigned),
    floor: floor ? assigned(floor) : null,
    random: random.map(({ chosen }) => search.assignment(chosen)),
  };
}

interface TriedUniform {
  choice: Setting;
  found: Found;
}

/** Least change first. */
async function runUniform(search: PlanSearch, lists: readonly Uniform[][]): Promise<TriedUniform[]> {
  const tried: TriedUniform[] = [];
  for (const list of lists) {
    const runs: TriedUniform[] = [];
    for (const { choice, chosen } of list) {
      const { title } = findMechanism(choice.name).info;
      runs.push({ choice, found: await search.run(say('inEveryHead', title), chosen) });
    }
    if (runs.length > 0)
      tried.push(runs.reduce((best, one) => (losesLess(one.found, best.found) ? one : best)));
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
  floor: TriedUniform | null,
  random: readonly Found[],
): Omit<Plan, 'curve' | 'tried'> {
  const { candidates, budget, dense } = search;
  const first = candidates.texts[0]!;
  const drawn = random.map(({ outcome }) => outcome.effect);
  const everywhere = ({ choice, found }: TriedUniform) => ({
    choice,
    settled: first.settled(choice),
    share: search.spent(found.chosen) / dense,
    effect: found.outcome.effect,
  });
  const wins = isLeast(best.outcome.effect, [...uniform.map(({ found }) => found.outcome.effect), ...drawn]);
  return {
    budget,
    ...(candidates.unit === 'pairs' ? {} : { unit: candidates.unit }),
    ...(best.chosen[0]?.spending && {
      spending: totalSpending(best.chosen.map(one => one.spending!)),
    }),
    pairs: sum(best.chosen, one => one.pairs),
    densePairs: sum(best.chosen, one => one.densePairs),
    heads: best.chosen.map(({ onFront: _, ...candidate }, at) => ({
      ...candidate,
      settled: first.settled(candidate.choice, candidate.core),
      sensitivity: search.sensitivity[at]!,
    })),
    effect: best.outcome.effect,
    uniform: uniform.map(everywhere),
    floor: floor && everywhere(floor),
    random: rangeOf(drawn),
    wins,
    candidates: candidates.all(),
    notes: notesOf(best, uniform, random.map(deltaOf), wins),
  };
}

function timeNote(made: number, wanted: number, seconds: number): Note {
  return { kind: 'time', text: say('timeWasOut', made, wanted, plain(duration(seconds))) };
}

function notesOf(
  best: Found,
  uniform: readonly TriedUniform[],
  random: readonly number[],
  wins: Plan['wins'],
): Note[] {
  const notes: Note[] = [];
  const add = (kind: NoteKind, text: string) => notes.push({ kind, text });
  const [first] = uniform;
  const title = first && findMechanism(first.choice.name).info.title;
  if (first && isLess(best.outcome.effect, first.found.outcome.effect) === 'no') {
    const [own, other] = [best.outcome.effect.divergence, first.found.outcome.effect.divergence];
    const but =
      own !== undefined && other !== undefined && own < other
        ? say('movedFurther', other.toFixed(3), own.toFixed(3))
        : '';
    add('defeat', say('lostLess', title!, but));
  } else if (wins === 'undecided') {
    add('defeat', say('undecided', title ? say('inEveryHead', title) : say('randomAssignments')));
  } else if (wins === 'no') {
    const count = random.filter(delta => delta < deltaOf(best)).length;
    add('defeat', say('randomLostLess', count, random.length));
  }
  const looking = new Set(
    best.chosen
      .filter(({ choice }) => choiceNote(choice)?.kind === 'looksAhead')
      .map(({ choice }) => findMechanism(choice.name).info.title),
  );
  if (looking.size > 0) {
    add('looksAhead', say('chosenFromWhole', [...looking].join(', ')));
  }
  if (best.outcome.effect.measure === 'output') add('output', OUTPUT_NOTE);
  return notes;
}

/**
 * Change against budget. Between the measured points it follows the local errors, on the scale of the measured points
 * beside it; more pairs are never predicted to lose more.
 */
async function curveOf(search: PlanSearch, best: Found, runs: number): Promise<Plan['curve']> {
  const shareOf = (chosen: Choice) => search.spent(chosen) / search.dense;
  const { candidates } = search;
  type Point = ReturnType<typeof pointOf> & { predicted: number; measured: boolean };
  const points: Point[] = [{ ...pointOf(best), predicted: search.predicted(best.chosen), measured: true }];
  for (const factor of CURVE) {
    const limit = factor * search.budget;
    const chosen = limit < 1 ? search.chooseWithin(limit * search.dense) : null;
    if (!chosen) continue;
    const predicted = search.predicted(chosen);
    if (MEASURED.slice(0, runs).includes(factor)) {
      const found = await search.run(`at ${plainPercent(limit)} of the ${UNITS[candidates.unit]}`, chosen);
      points.push({ ...pointOf(found), predicted, measured: true });
    } else {
      points.push({ share: shareOf(chosen), delta: 0, predicted, measured: false });
    }
  }
  points.sort((a, b) => a.share - b.share);
  const scale = scaleBetween(points.filter(({ measured }) => measured));
  let least = 0;
  const curve: Plan['curve'] = [{ share: 1, delta: 0, measured: true }];
  for (const { share, delta, predicted, measured, interval } of points.reverse()) {
    if (!measured) least = Math.max(least, scale(share) * predicted);
    curve.push({ share, delta: measured ? delta : least, measured, ...(interval && { interval }) });
  }
  return curve.reverse();

  function pointOf(found: Found): { share: number; delta: number; interval?: Interval | null } {
    const interval = meanInterval(textsOf(found.outcome.effect));
    return { share: shareOf(found.chosen), delta: deltaOf(found), interval };
  }
}

/** Measured over predicted change, between the points linear in the logarithm of the share. */
function scaleBetween(
  points: readonly { share: number; delta: number; predicted: number }[],
): (share: number) => number {
  const known = points
    .filter(({ predicted }) => predicted > 0)
    .map(({ share, delta, predicted }) => ({ at: Math.log(share), scale: Math.max(0, delta) / predicted }));
  return share => {
    const at = Math.log(share);
    const after = known.findIndex(point => point.at >= at);
    if (known.length === 0) return 0;
    if (after < 0) return known.at(-1)!.scale;
    const [a, b] = [known[Math.max(0, after - 1)]!, known[after]!];
    return a === b ? a.scale : a.scale + ((b.scale - a.scale) * (at - a.at)) / (b.at - a.at);
  };
}

function deltaOf({ outcome }: Found): number {
  return outcome.effect.delta;
}
