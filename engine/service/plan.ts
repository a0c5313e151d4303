import type { Analysis } from './analysis';
import { Candidates, costOf } from './planCandidates';
import { PlanRuns, type Outcome } from './planRuns';
import { seededUniform } from '../attention/random';
import { findMechanism } from '../attention/registry';
import { RefusedError, UsageError } from '../errors';
import { allocate, type Option } from '../measure/allocation';
import type { HeadAssignment, MechanismChoice, Plan, PlanCandidate, PlanParams } from '../protocol';
import type { Cancellation } from '../runtime/cancellation';

export type PlanOptions = Omit<PlanParams, 'id'>;

/** Shares of the dense pairs at which every mechanism is tried in every head, beside those around the budget. */
const SHARES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/** Assignments drawn at random, to see what choosing is worth. */
const RANDOM_RUNS = 5;

/**
 * A mechanism and its setting for each head within a budget of pairs, from the local errors of many candidates,
 * corrected by runs of the whole model. `texts`: finished analyses of the same model; the first one's lengths decide
 * what a share means in tokens.
 */
export async function makePlan(
  texts: readonly Analysis[],
  options: PlanOptions,
  cancellation: Cancellation,
  onProgress: (fraction: number, message: string) => void = () => undefined,
): Promise<Plan> {
  if (!(options.budget > 0 && options.budget <= 1)) {
    throw new UsageError('The budget of a plan is a share of the dense pairs, above 0 and at most 1.');
  }
  const candidates = await Candidates.start(texts, options.mechanisms, cancellation);
  const shares = [...new Set([...SHARES, options.budget, options.budget / 2, options.budget * 2])].filter(
    share => share < 1,
  );
  for (const at of candidates.heads.keys()) {
    onProgress((0.5 * at) / candidates.heads.length, 'Every head under every mechanism');
    for (const mechanism of candidates.mechanisms) {
      for (const share of shares) await candidates.addShare(at, mechanism, share);
    }
  }
  const runs = new PlanRuns(texts, options.maxRuns, cancellation, (what, done) =>
    onProgress(0.5 + 0.5 * done, what),
  );
  return new Search(candidates, runs, options).plan();
}

class Search {
  private readonly dense: number;
  private readonly limit: number;
  private readonly sensitivity: number[];

  constructor(
    private readonly candidates: Candidates,
    private readonly runs: PlanRuns,
    private readonly options: PlanOptions,
  ) {
    this.dense = sum(candidates.lists, list => list[0]!.densePairs);
    this.limit = options.budget * this.dense;
    this.sensitivity = candidates.heads.map(() => 1);
  }

  async plan(): Promise<Plan> {
    let best = this.choose(this.limit);
    let outcome = await this.runs.run('from the local errors', this.assignment(best));
    this.runs.keep();
    const uniform = await this.uniform();
    const least = uniform[0];
    if (least && least.outcome.objective < outcome.objective) {
      [best, outcome] = [least.chosen, least.outcome];
    }
    const random = await this.random();
    const pairs = sum(best, candidate => candidate.pairs);
    const wins =
      uniform.every(one => outcome.effect.delta <= one.outcome.effect.delta) &&
      outcome.effect.delta <= random.least;
    return {
      budget: this.options.budget,
      pairs,
      densePairs: this.dense,
      heads: best.map((candidate, at) => ({
        ...candidate,
        sensitivity: this.sensitivity[at]!,
      })),
      effect: outcome.effect,
      uniform: uniform.map(({ choice, chosen, outcome: { effect } }) => ({
        choice,
        share: sum(chosen, candidate => candidate.pairs) / this.dense,
        effect,
      })),
      random,
      wins,
      curve: [],
      tried: this.runs.tried,
      candidates: this.candidates.all(),
      notes: wins ? [] : ['The plan does not win: a simpler choice lost no more on the fitted text.'],
    };
  }

  private options_(): Option[][] {
    return this.candidates.lists.map((list, at) =>
      list.map(candidate => {
        const { pairs, cost } = costOf(candidate);
        return { pairs, cost: cost * this.sensitivity[at]! };
      }),
    );
  }

  private choose(limit: number): PlanCandidate[] {
    const options = this.options_();
    const chosen = allocate(options, limit);
    if (!chosen) {
      const least = sum(options, list => Math.min(...list.map(option => option.pairs)));
      const share = (least / this.dense).toPrecision(2);
      throw new RefusedError(
        `No choice of mechanisms spends so few pairs: the least on this text is a share of ${share}.`,
      );
    }
    return chosen.map((option, at) => this.candidates.lists[at]![option]!);
  }

  private assignment(chosen: readonly PlanCandidate[]): HeadAssignment[] {
    return chosen.map(({ choice }, at) => ({ ...this.candidates.heads[at]!, choice }));
  }

  private async uniform(): Promise<Uniform[]> {
    const found: Uniform[] = [];
    for (const mechanism of this.candidates.mechanisms) {
      if (mechanism.info.name === 'dense') continue;
      let best: { choice: MechanismChoice; chosen: PlanCandidate[]; cost: number } | null = null;
      for (const choice of await this.candidates.settings(0, mechanism, this.options.budget)) {
        const chosen: PlanCandidate[] = [];
        for (const at of this.candidates.heads.keys()) {
          const candidate = await this.candidates.add(at, choice);
          if (candidate) chosen.push(candidate);
        }
        if (chosen.length < this.candidates.heads.length) continue;
        if (sum(chosen, one => one.pairs) > this.limit) continue;
        const cost = sum(chosen, (one, at) => costOf(one).cost * this.sensitivity[at]!);
        if (!best || cost < best.cost) best = { choice, chosen, cost };
      }
      if (!best) continue;
      const title = findMechanism(best.choice.name).info.title;
      const outcome = await this.runs.run(`${title} in every head`, this.assignment(best.chosen));
      found.push({ ...best, outcome });
    }
    return found.sort((a, b) => a.outcome.effect.delta - b.outcome.effect.delta);
  }

  private async random(): Promise<Plan['random']> {
    const uniform = seededUniform(1);
    const deltas: number[] = [];
    for (let run = 0; run < RANDOM_RUNS; run++) {
      const options = this.candidates.lists.map(list =>
        list.map(({ pairs }) => ({ pairs, cost: uniform() * (this.dense - pairs) })),
      );
      const chosen = allocate(options, this.limit)!.map((at, head) => this.candidates.lists[head]![at]!);
      const { effect } = await this.runs.run('drawn at random', this.assignment(chosen));
      deltas.push(effect.delta);
    }
    return {
      runs: deltas.length,
      mean: sum(deltas, x => x) / deltas.length,
      least: Math.min(...deltas),
      most: Math.max(...deltas),
    };
  }
}

interface Uniform {
  choice: MechanismChoice;
  chosen: PlanCandidate[];
  outcome: Outcome;
}

function sum<T>(values: readonly T[], value: (one: T, at: number) => number): number {
  return values.reduce((total, one, at) => total + value(one, at), 0);
}
