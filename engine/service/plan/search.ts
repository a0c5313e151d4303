import { plainPercent } from '../../../shared/numbers';
import { denselySpent, errorCost, spent, type Candidates } from './candidates';
import type { Outcome, PlanRuns } from './runs';
import { kvHead } from '../../attention/core';
import { refused } from '../../errors';
import { allocate } from '../../measure/allocation';
import type { HeadAssignment, PlanCandidate } from '../../../shared/protocol/engine';
import { DENSE } from '../../../shared/setting';

/** One candidate per head, as in `headsOf`. */
export type Choice = readonly PlanCandidate[];

export interface Found {
  chosen: Choice;
  outcome: Outcome;
}

/** A change must lower the objective by this share to be kept: less is as likely a trait of the text. */
const WORTH = 0.01;

/** Nats, or turn of the output: two runs of the same attention differ by less. */
const ROUNDING = 1e-6;

/** By more than rounding, and by the share `worth`. */
export function losesLess(one: Found, other: Found, worth = 0): boolean {
  return one.outcome.objective < other.outcome.objective * (1 - worth) - ROUNDING;
}

/** Exponent of measured sensitivities. */
const DAMPING = 0.75;

/** Factor on the errors of a mechanism that is to be replaced. */
const DOUBT = 1.5;

/**
 * Chooses a candidate for each head so that sum(sensitivity x squared local error) is small within the budget, and
 * corrects that by runs of the whole model: the sensitivities first, then single heads.
 */
export class PlanSearch {
  /** What a squared error of each head is thought to change. */
  readonly sensitivity: number[];
  /** By head and mechanism: how much worse than its local error a mechanism is thought to be. */
  private readonly doubts: Map<string, number>[];
  /** What all heads spend dense, in the budget's unit. */
  readonly dense: number;
  /** Heads that get the same setting; each alone where nothing ties them. */
  private readonly groups: readonly (readonly number[])[];

  constructor(
    readonly candidates: Candidates,
    private readonly runs: PlanRuns,
    readonly budget: number,
    tied = false,
  ) {
    this.dense = sum(candidates.lists, list => denselySpent(list[0]!, candidates.unit));
    this.groups = tied ? groupsOf(candidates) : candidates.heads.map((_, at) => [at]);
    // Until it is measured: an error matters as much as the head contributes to its layer.
    this.sensitivity = [...candidates.contribution];
    this.doubts = candidates.heads.map(() => new Map());
  }

  get limit(): number {
    return this.budget * this.dense;
  }

  /** @throws RefusedError when even the cheapest candidates spend more. */
  choose(): Choice {
    const chosen = this.chooseWithin(this.limit);
    if (chosen) return chosen;
    const least = sum(this.candidates.lists, list =>
      Math.min(...list.map(one => spent(one, this.candidates.unit))),
    );
    throw least < this.dense
      ? refused('fewPairsLeast', plainPercent(least / this.dense))
      : refused('fewPairs');
  }

  /** What a choice pays, in the budget's unit. */
  spent(chosen: Choice): number {
    return sum(chosen, one => spent(one, this.candidates.unit));
  }

  chooseWithin(limit: number): Choice | null {
    const shared = this.groups.map(group => this.sharedBy(group));
    const options = shared.map(list =>
      list.map(members => ({
        pairs: sum(members, ({ candidate }) => spent(candidate, this.candidates.unit)),
        cost: sum(members, ({ at, candidate }) => this.weighed(at, candidate)),
      })),
    );
    const found = allocate(options, limit);
    if (!found) return null;
    const chosen: PlanCandidate[] = [];
    found.forEach((option, group) => {
      for (const { at, candidate } of shared[group]![option]!) chosen[at] = candidate;
    });
    return chosen;
  }

  private groupOf(at: number): readonly number[] {
    return this.groups.find(group => group.includes(at))!;
  }

  /** The settings that all heads of a group have been compared with, for each of them. */
  private sharedBy(group: readonly number[]): { at: number; candidate: PlanCandidate }[][] {
    const [first, ...others] = group;
    const known = others.map(at => {
      const byKey = new Map(this.candidates.lists[at]!.map(one => [one.choice.key, one]));
      return { at, byKey };
    });
    return this.candidates.lists[first!]!.flatMap(candidate => {
      const rest = known.map(({ at, byKey }) => ({ at, candidate: byKey.get(candidate.choice.key) }));
      if (rest.some(one => !one.candidate)) return [];
      return [[{ at: first!, candidate }, ...(rest as { at: number; candidate: PlanCandidate }[])]];
    });
  }

  /** What the local errors and the sensitivities promise. */
  predicted(chosen: Choice): number {
    return sum(chosen, (candidate, at) => errorCost(candidate) * this.sensitivity[at]!);
  }

  assignment(chosen: Choice): HeadAssignment[] {
    return chosen.map(({ choice }, at) => ({ ...this.candidates.heads[at]!, choice }));
  }

  async run(what: string, chosen: Choice): Promise<Found> {
    return { chosen, outcome: await this.runs.run(what, this.assignment(chosen)) };
  }

  /** The choice by the local errors alone. */
  async start(): Promise<Found> {
    const found = await this.run('by the local errors', this.choose());
    this.runs.keep();
    return found;
  }

  /** Weighs the errors by what the model makes of them, and chooses anew. */
  async sensitivities(start: Found, runs: number): Promise<Found> {
    let best = start;
    await this.measureSensitivity(best.chosen, Math.min(runs, this.runs.left - 2));
    for (const what of ['by the measured sensitivities', 'with settings between those tried']) {
      if (this.runs.left === 0) break;
      const found = await this.run(what, this.choose());
      if (losesLess(found, best)) {
        best = found;
        this.runs.keep();
      }
      await this.refine(found.chosen);
    }
    return best;
  }

  /** Settings between those tried, around each head's choice. */
  private async refine(chosen: Choice): Promise<void> {
    const between = chosen.flatMap(({ choice, pairs, densePairs }, at) => {
      const mechanism = this.candidates.mechanisms.find(({ info }) => info.name === choice.name);
      if (!mechanism || choice.name === DENSE.name) return [];
      return [0.65, 0.8, 1.25, 1.55]
        .map(factor => (factor * pairs) / densePairs)
        .filter(share => share < 1)
        .flatMap(share => this.candidates.settings(at, mechanism, share))
        .flatMap(setting => this.groupOf(at).map(member => ({ at: member, choice: setting })));
    });
    await this.candidates.addAll(between);
  }

  /**
   * Measures how the model takes the error of each head, with `runs` runs at most (heads in groups when there are more):
   * the change when only these heads have their mechanism. All sensitivities are scaled to what was measured on the whole,
   * those of a group by what is particular to it. That is damped: a text shows a head's errors only where it happens to need it.
   */
  private async measureSensitivity(chosen: Choice, runs: number): Promise<void> {
    if (runs <= 0) return;
    const changed = chosen.flatMap(({ outputError }, at) => (outputError > 0 ? [at] : []));
    const size = Math.ceil(changed.length / runs);
    const groups: { group: number[]; measured: number; predicted: number }[] = [];
    for (let from = 0; from < changed.length; from += size) {
      const group = changed.slice(from, from + size);
      const heads = this.assignment(chosen).filter((_, at) => group.includes(at));
      const { objective } = await this.runs.run(`only ${this.names(group)}`, heads);
      const predicted = sum(group, at => errorCost(chosen[at]!) * this.sensitivity[at]!);
      groups.push({ group, measured: Math.max(objective, 1e-9), predicted });
    }
    const scale = sum(groups, ({ measured }) => measured) / sum(groups, ({ predicted }) => predicted);
    if (!(scale > 0 && Number.isFinite(scale))) return;
    for (const at of this.sensitivity.keys()) this.sensitivity[at]! *= scale;
    for (const { group, measured, predicted } of groups) {
      if (predicted === 0) continue;
      for (const at of group) this.sensitivity[at]! *= (measured / (scale * predicted)) ** DAMPING;
    }
  }

  /**
   * Coordinate-wise, whole layers before single heads: one weight is changed, the budget is shared out anew (so pairs move
   * between heads, or a head changes its mechanism), and the change stays if the model then loses less.
   */
  async correct(start: Found, runs: number): Promise<Found> {
    let best = start;
    const end = Math.max(0, this.runs.left - runs);
    for (;;) {
      let improved = false;
      for (const move of this.moves(best.chosen)) {
        if (this.runs.left <= end) return best;
        const undo = move.apply();
        const chosen = this.choose();
        const tried = this.seen.has(keyOf(chosen));
        const found = tried ? null : await this.run(move.what, chosen);
        this.seen.add(keyOf(chosen));
        if (found && losesLess(found, best, WORTH)) {
          best = found;
          improved = true;
          this.runs.keep();
        } else {
          undo();
        }
      }
      if (!improved) return best;
    }
  }

  private readonly seen = new Set<string>();

  private moves(chosen: Choice): { what: string; apply(): () => void }[] {
    const scale = (list: readonly number[], factor: number) => () => {
      for (const at of list) this.sensitivity[at]! *= factor;
      return () => {
        for (const at of list) this.sensitivity[at]! /= factor;
      };
    };
    const doubt = (at: number) => () => {
      const { name } = chosen[at]!.choice;
      const doubts = this.doubts[at]!;
      doubts.set(name, (doubts.get(name) ?? 1) * DOUBT);
      return () => doubts.set(name, doubts.get(name)! / DOUBT);
    };
    const { heads } = this.candidates;
    const layers = [...new Set(heads.map(({ core }) => core))].flatMap(core => {
      const list = [...heads.keys()].filter(at => heads[at]!.core === core);
      return [
        { what: `more pairs for core ${core}`, apply: scale(list, 2) },
        { what: `fewer pairs for core ${core}`, apply: scale(list, 1 / 2) },
      ];
    });
    const order = [...heads.keys()].sort((a, b) => this.weighed(b, chosen[b]!) - this.weighed(a, chosen[a]!));
    const single = order.flatMap(at => [
      { what: `more pairs for ${this.names([at])}`, apply: scale([at], 2) },
      { what: `another mechanism for ${this.names([at])}`, apply: doubt(at) },
      { what: `fewer pairs for ${this.names([at])}`, apply: scale([at], 1 / 2) },
    ]);
    return [...layers, ...single];
  }

  private weighed(at: number, candidate: PlanCandidate): number {
    const doubt = this.doubts[at]!.get(candidate.choice.name) ?? 1;
    return errorCost(candidate) * this.sensitivity[at]! * doubt;
  }

  private names(group: readonly number[]): string {
    const name = (at: number) => `${this.candidates.heads[at]!.core}.${this.candidates.heads[at]!.head}`;
    return group.length === 1
      ? `head ${name(group[0]!)}`
      : `heads ${name(group[0]!)} to ${name(group.at(-1)!)}`;
  }
}

/** Heads of a core that share keys and values. */
function groupsOf({ heads, texts }: Candidates): number[][] {
  const groups = new Map<string, number[]>();
  heads.forEach(({ core, head }, at) => {
    const key = `${core}.${kvHead(texts[0]!.core(core).outline, head)}`;
    groups.set(key, [...(groups.get(key) ?? []), at]);
  });
  return [...groups.values()];
}

export function keyOf(chosen: Choice): string {
  return chosen.map(({ choice }) => choice.key).join('|');
}

export function sum<T>(values: readonly T[], value: (one: T, at: number) => number): number {
  return values.reduce((total, one, at) => total + value(one, at), 0);
}
