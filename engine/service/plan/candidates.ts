import { type Analysis, type CoreTensors } from '../analysis';
import { compareHead, coresOf } from '../changedRun';
import { contributionsOf, squaredNorm } from '../contribution';
import { visitTogether } from '../passes';
import { settingsOf } from '../../attention/kernels/shares';
import type { CoreInput } from '../../attention/core';
import type { Mechanism, SettingFamily } from '../../attention/mechanism';
import { settingOf } from '../../attention/parameters';
import { findMechanism, mechanisms } from '../../attention/registry';
import { someHeads } from '../../attention/kernels/subset';
import { RefusedError, refused } from '../../errors';
import { paretoFront } from '../../measure/allocation';
import { totalSpending } from '../../measure/spending';
import type {
  BudgetUnit,
  HeadComparison,
  MechanismParams,
  Setting,
  PlanCandidate,
} from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import { DENSE } from '../../../shared/setting';

/** Shares at which the mechanisms that suit a head are tried, as multiples of the budget. */
const FACTORS = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 2, 4, 7];
const FEWER = [1 / 16, 1 / 4, 2, 5];

/** Mechanisms of a head that get a closer look: those with errors at most this much larger than the best, and how many. */
const NEAR = 1.3;
const CLOSER = 5;

/** Every so many heads stand for all, where they are enough. */
const SOME = 6;
const FEWEST_OF_SOME = 24;

export interface HeadId {
  core: number;
  head: number;
}

/** Every head of the model, in execution order. */
export function headsOf(analysis: Analysis): HeadId[] {
  return analysis.cores.flatMap(({ result }) =>
    result.heads.map(({ head }) => ({ core: result.info.core, head })),
  );
}

/** The settings of each head that were compared with its dense map, over all fitted texts. Local. */
export class Candidates {
  /** By head, as in `headsOf`; the first is dense. */
  readonly lists: PlanCandidate[][];
  readonly heads: HeadId[];
  /** Squared norm of each head's dense output, as a multiple of the mean of its core's heads. */
  readonly contribution: number[] = [];
  /** By head and key; null = gives no number. */
  private readonly compared: Map<string, PlanCandidate | null>[];
  private readonly ofShare = new Map<string, MechanismParams[]>();

  private constructor(
    readonly texts: readonly Analysis[],
    readonly mechanisms: readonly Mechanism[],
    readonly unit: BudgetUnit,
    private readonly signal: AbortSignal,
  ) {
    this.heads = headsOf(texts[0]!);
    this.lists = this.heads.map(() => []);
    this.compared = this.heads.map(() => new Map());
  }

  /**
   * @param names mechanisms to choose from; empty = all that keep a set of pairs, but the floor. Dense is always among them.
   * @throws UsageError for an unknown name, RefusedError for one that no budget can be given to.
   */
  static async start(
    texts: readonly Analysis[],
    names: readonly string[],
    unit: BudgetUnit,
    signal: AbortSignal,
  ): Promise<Candidates> {
    const chosen =
      names.length === 0 ? mechanisms.filter(({ info }) => !info.floor) : names.map(findMechanism);
    for (const { info, settings } of chosen) {
      if (settings || names.length === 0 || info.name === DENSE.name) continue;
      throw refused('keepsNoPairs', info.title);
    }
    const found = new Candidates(
      texts,
      chosen.filter(mechanism => mechanism.settings),
      unit,
      signal,
    );
    const norms = found.heads.map(() => 0);
    await found.eachHead(found.heads.keys(), async (at, tensors) => {
      await found.add(at, DENSE, tensors);
      norms[at] = squaredNorm(found.heads[at]!.head, tensors);
    });
    found.weighHeads(norms);
    return found;
  }

  /**
   * Every head under every mechanism at the budget itself; those that come near the best of their head there, at other
   * shares too, and at fewer of them while time presses.
   */
  async explore(
    budget: number,
    onProgress: (fraction: number) => void,
    isPressed: () => boolean = () => false,
  ): Promise<void> {
    const within = (factors: readonly number[]) =>
      factors.map(factor => factor * budget).filter(share => share < 1);
    const [all, fewer] = [within(FACTORS), within(FEWER)];
    await this.eachHead(this.heads.keys(), async (at, tensors) => {
      onProgress(at / this.heads.length);
      const addShare = async (mechanism: Mechanism, share: number) => {
        for (const choice of this.settings(at, mechanism, share)) await this.add(at, choice, tensors);
      };
      for (const mechanism of this.mechanisms) await addShare(mechanism, budget);
      for (const mechanism of this.nearest(at)) {
        for (const share of isPressed() ? fewer : all) await addShare(mechanism, share);
      }
    });
  }

  /** Calls back with each of the heads and its core's tensors in every text, in one pass over the texts. */
  private async eachHead(
    heads: Iterable<number>,
    visit: (at: number, tensors: CoreTensors[]) => Promise<void>,
  ): Promise<void> {
    const list = [...new Set(heads)].sort((a, b) => a - b);
    const cores = coresOf(list.map(at => this.heads[at]!));
    const visitCore = async (core: number, tensors: CoreTensors[]) => {
      for (const at of list) if (this.heads[at]!.core === core) await visit(at, tensors);
    };
    await visitTogether(this.texts, cores, visitCore, this.signal);
  }

  /** The mechanisms whose best setting so far has nearly the least error of the head, best first. */
  private nearest(at: number): Mechanism[] {
    const least = (mechanism: Mechanism) => {
      const own = this.lists[at]!.filter(({ choice }) => choice.name === mechanism.info.name);
      return Math.min(...own.map(({ outputError }) => outputError));
    };
    const ranked = this.mechanisms
      .filter(({ info }) => info.name !== DENSE.name)
      .map(mechanism => ({ mechanism, error: least(mechanism) }))
      .sort((a, b) => a.error - b.error);
    return ranked
      .filter(({ error }) => error <= NEAR * ranked[0]!.error)
      .slice(0, CLOSER)
      .map(({ mechanism }) => mechanism);
  }

  private weighHeads(norms: readonly number[]): void {
    for (const core of coresOf(this.heads)) {
      const own = [...this.heads.keys()].filter(at => this.heads[at]!.core === core);
      const found = contributionsOf(own.map(at => norms[at]!));
      own.forEach((at, one) => (this.contribution[at] = found[one]!));
    }
  }

  /** Settings that spend about this share in this head, in words of the mechanism's own parameters, for the longest text. */
  settings(at: number, mechanism: Mechanism, share: number, families?: readonly SettingFamily[]): Setting[] {
    const { core, head } = this.heads[at]!;
    const alone = someHeads(this.texts[0]!.core(core).outline, [head]);
    const found = families ? settingsOf(families, alone, share) : this.settingsLike(alone, mechanism, share);
    return found
      .map(params => settingOf(mechanism.info, params))
      .filter(({ params }) => !mechanism.refuses?.(alone, params));
  }

  /** What a mechanism has for a share follows from lengths and mask: looked for once for all heads that are alike in them. */
  private settingsLike(alone: CoreInput, mechanism: Mechanism, share: number): MechanismParams[] {
    const { queries, keys, dim, valueDim, rule } = alone;
    const key = JSON.stringify([mechanism.info.name, share, queries, keys, dim, valueDim, rule.mask]);
    let found = this.ofShare.get(key);
    if (!found) this.ofShare.set(key, (found = mechanism.settings?.(alone, share) ?? []));
    return found;
  }

  /** Compares each of these heads with its setting; null for those that give no number. */
  async addAll(wanted: readonly { at: number; choice: Setting }[]): Promise<(PlanCandidate | null)[]> {
    const open = wanted.filter(({ at, choice }) => this.known(at, choice) === undefined);
    await this.eachHead(
      open.map(({ at }) => at),
      async (head, tensors) => {
        for (const { at, choice } of open) if (at === head) await this.add(at, choice, tensors);
      },
    );
    return wanted.map(({ at, choice }) => this.known(at, choice) ?? null);
  }

  /** What a setting spends on evenly spaced heads, as a share; null where one of them cannot have it, or all heads are few. */
  async shareOnSome(choice: Setting): Promise<number | null> {
    const heads = [...this.heads.keys()].filter(at => at % SOME === 0);
    if (heads.length < FEWEST_OF_SOME) return null;
    const found = await this.addAll(heads.map(at => ({ at, choice })));
    if (found.includes(null)) return null;
    const sum = (value: (one: PlanCandidate) => number) =>
      found.reduce((total, one) => total + value(one!), 0);
    return sum(one => spent(one, this.unit)) / sum(one => denselySpent(one, this.unit));
  }

  /** Each setting in every head; null for one that some head cannot have, which is then compared with no further head. */
  async everywhere(choices: readonly Setting[]): Promise<(PlanCandidate[] | null)[]> {
    const heads = [...this.heads.keys()];
    const fails = (choice: Setting) => heads.some(at => this.known(at, choice) === null);
    const isOpen = (choice: Setting) =>
      !fails(choice) && heads.some(at => this.known(at, choice) === undefined);
    const open = choices.filter(isOpen);
    await this.eachHead(open.length > 0 ? heads : [], async (at, tensors) => {
      for (const choice of open) if (!fails(choice)) await this.add(at, choice, tensors);
    });
    return choices.map(choice => (fails(choice) ? null : heads.map(at => this.known(at, choice)!)));
  }

  /** What was found for a setting of a head: null = it gives no number, undefined = not compared yet. */
  private known(at: number, choice: Setting): PlanCandidate | null | undefined {
    return this.compared[at]!.get(choice.key);
  }

  /** Compares one head under one setting with its dense map. Each is done once. */
  private async add(at: number, choice: Setting, tensors: readonly CoreTensors[]): Promise<void> {
    if (this.known(at, choice) !== undefined) return;
    await checkpoint(this.signal);
    const candidate = await this.candidate(at, choice, tensors);
    this.compared[at]!.set(choice.key, candidate);
    if (candidate && !this.isFloor(choice)) this.lists[at]!.push(candidate);
  }

  /** The floor is compared with, not chosen, unless it was named. */
  private isFloor({ name }: Setting): boolean {
    const { info } = findMechanism(name);
    return info.floor === true && !this.mechanisms.some(one => one.info.name === name);
  }

  private async candidate(
    at: number,
    choice: Setting,
    tensors: readonly CoreTensors[],
  ): Promise<PlanCandidate | null> {
    const comparisons = await this.compare(at, choice, tensors);
    if (!comparisons) return null;
    const comparison = together(comparisons);
    // What keeps every pair of these texts is dense in disguise: it would keep less of longer ones.
    if (choice.name !== DENSE.name && comparison.pairs >= comparison.densePairs) return null;
    // (Of what keeps pairs no recall is told where the model was made with something else than a softmax.)
    if (!Number.isFinite(comparison.outputError) || findMechanism(choice.name).info.approximate) return null;
    return { ...comparison, choice, onFront: false };
  }

  /** The head under one setting on every text; null when one of them refuses it. */
  private async compare(
    at: number,
    choice: Setting,
    tensors: readonly CoreTensors[],
  ): Promise<HeadComparison[] | null> {
    const comparisons: HeadComparison[] = [];
    try {
      for (const [t, text] of this.texts.entries()) {
        const head = { ...this.heads[at]!, choice };
        comparisons.push(await compareHead(text, head, tensors[t]!, this.signal, this.unit !== 'pairs'));
      }
    } catch (error) {
      if (error instanceof RefusedError) return null;
      throw error;
    }
    return comparisons;
  }

  /** All candidates with their places on the fronts. */
  all(): PlanCandidate[] {
    return this.lists.flatMap(list => {
      const front = new Set(paretoFront(list.map(one => costOf(one, this.unit))));
      return list.map((candidate, at) => ({ ...candidate, onFront: front.has(at) }));
    });
  }
}

/** Errors of the output below this are all the same: no pairs are spent on them, and simpler mechanisms come first. */
const NEGLIGIBLE = 0.01;

/** The squared error is what changes of the output grow with. */
export function costOf(one: HeadComparison, unit: BudgetUnit): { pairs: number; cost: number } {
  return { pairs: spent(one, unit), cost: errorCost(one) };
}

export function errorCost({ outputError }: HeadComparison): number {
  return Math.max(outputError, NEGLIGIBLE) ** 2;
}

/** What a head pays of the budget. */
export function spent({ pairs, spending }: HeadComparison, unit: BudgetUnit): number {
  return spending?.[unit].own ?? pairs;
}

/** What it would pay dense. */
export function denselySpent({ densePairs, spending }: HeadComparison, unit: BudgetUnit): number {
  return spending?.[unit].dense ?? densePairs;
}

/** One head over several texts: pairs summed, errors as root of the mean square. */
function together(comparisons: readonly HeadComparison[]): HeadComparison {
  const [first] = comparisons;
  if (comparisons.length === 1) return first!;
  const mean = (value: (one: HeadComparison) => number | null) =>
    comparisons.reduce((sum, one) => sum + (value(one) ?? NaN), 0) / comparisons.length;
  const sum = (value: (one: HeadComparison) => number) =>
    comparisons.reduce((total, one) => total + value(one), 0);
  const known = comparisons.every(({ recall }) => recall !== null);
  return {
    ...first!,
    recall: known ? mean(one => one.recall) : null,
    recallP5: known ? mean(one => one.recallP5) : null,
    outputError: Math.sqrt(mean(one => one.outputError ** 2)),
    pairs: sum(one => one.pairs),
    densePairs: sum(one => one.densePairs),
    uncovered: sum(one => one.uncovered),
    ...(first!.spending && { spending: totalSpending(comparisons.map(one => one.spending!)) }),
  };
}
