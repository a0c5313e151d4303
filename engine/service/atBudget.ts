import { KEPT_BYTES, type Analysis, type CoreTensors } from './analysis';
import type { LocalRun } from './densePass';
import { compareCoreLocally, localResult, runWith, startRun } from './mechanismRuns';
import { effectOf, predictedIds } from './changedRun';
import { contributionsOf, squaredNorm, weighedError } from './contribution';
import { Approach } from './approach';
import type { CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { settingsOf } from '../attention/kernels/shares';
import type { Mechanism, SettingFamily } from '../attention/mechanism';
import { settingOf } from '../attention/parameters';
import { findMechanism, mechanisms } from '../attention/registry';
import { RefusedError, told } from '../errors';
import { DensePredictions } from '../measure/predictionShift';
import type {
  AtBudgetParams,
  BudgetUnit,
  MechanismParams,
  MechanismResult,
  Note,
  Setting,
} from '../../shared/protocol/engine';
import { plainPercent } from '../../shared/numbers';
import { UNITS } from '../../shared/budgetUnits';
import { DENSE } from '../../shared/setting';
import { say } from '../../shared/sentences';

/** A setting that leaves more of the budget than this is compared only where none leaves less, and it is said. */
const FEWEST = 0.9;

/** Settings of a mechanism that the text is run on with, to choose one: those with an error at most so much larger than the least. */
const CONFIRMED = 3;
const CLOSE = 2;

/**
 * Each mechanism in every head, with a setting that spends as much of the budget as its parameters allow, and no more:
 * of those that come near, the one that moves the model's predictions least when the text runs on with it. Run are those
 * of the least local errors, weighed by what each head contributes: errors of all heads alike choose the wrong one.
 * Mechanisms without a setting within the budget are left out, unless they were asked for by name alone.
 */
export async function atBudget(
  analysis: Analysis,
  { budget, unit = 'pairs', mechanisms: names }: Omit<AtBudgetParams, 'id'>,
  signal: AbortSignal,
  onProgress: (fraction: number, message: string) => void = () => undefined,
): Promise<MechanismResult[]> {
  if (!(budget > 0 && budget <= 1))
    throw new RefusedError('A budget is a share of what dense attention spends, above 0 and at most 1.');
  const chosen = names.length === 0 ? mechanisms : names.map(findMechanism);
  const searches = chosen.map(mechanism => new Search(analysis, mechanism, budget, unit));
  const contributions: number[][] = [];
  for (;;) {
    const open = searches.flatMap(search => search.open());
    if (open.length === 0) break;
    const compare = async (core: number, tensors: CoreTensors) => {
      contributions[core] ??= contributionsOf(
        Array.from({ length: tensors.input.heads }, (_, head) => squaredNorm(head, [tensors])),
      );
      for (const [at, { title, run }] of open.entries()) {
        onProgress((core + at / open.length) / analysis.cores.length, title);
        await compareCoreLocally(analysis, run, core, tensors, signal);
      }
    };
    await analysis.visitAlone([...analysis.cores.keys()], compare, signal);
    for (const { done } of open) done();
  }
  const confirm = new Confirmation(analysis, contributions, signal, title => onProgress(1, title));
  const found: MechanismResult[] = [];
  for (const search of searches) found.push(...(await search.best(confirm)));
  const reason = chosen[0]?.spendsMore;
  if (found.length === 0 && chosen.length === 1)
    throw new RefusedError(
      told`${chosen[0]!.info.title} has no setting that spends such a share of the ${UNITS[unit]}${reason ? `: ${reason}` : ''}.`,
    );
  return found;
}

interface OpenRun {
  title: string;
  run: LocalRun;
  /** The run has been in every core. */
  done(): void;
}

/** The settings of one mechanism that are tried; where the text decides what they spend, until one comes near. */
class Search {
  private readonly tried = new Map<string, MechanismResult | null>();
  private fixed: Setting[];
  private readonly families: { family: SettingFamily; approach: Approach }[];
  private readonly outlines: readonly CoreInput[];

  constructor(
    analysis: Analysis,
    private readonly mechanism: Mechanism,
    private readonly budget: number,
    private readonly unit: BudgetUnit,
  ) {
    this.outlines = analysis.cores.map(({ outline }) => outline);
    const { families, settings, spans, info } = mechanism;
    this.fixed = [];
    if (!settings || info.name === DENSE.name) this.families = [];
    else if (families || unit !== 'pairs') {
      // In other units than pairs every setting is asked for again, until it spends what it should.
      const ways = families ?? waysOf(spans ? (_, share) => [spans.atBudget(share)] : settings);
      this.families = ways.map(family => ({ family, approach: new Approach(budget) }));
    } else {
      this.families = [];
      this.fixed = this.read(outline => (spans ? [spans.atBudget(budget)] : settings(outline, budget)));
    }
  }

  open(): OpenRun[] {
    const { title } = this.mechanism.info;
    const fixed = this.fixed.map(choice => {
      const run = startRun(choice, this.unit !== 'pairs');
      return { title, run, done: () => void this.file(run) };
    });
    this.fixed = [];
    const asked = this.families.flatMap(({ family, approach }) => {
      const choice = this.ask(family, approach);
      if (!choice) return [];
      const run = startRun(choice, this.unit !== 'pairs');
      const done = () => {
        const result = this.file(run);
        approach.told(result && this.spent(result));
      };
      return [{ title, run, done }];
    });
    return [...fixed, ...asked];
  }

  /** Of those that come near, the one that changes least; else the one that comes nearest; none where all spend more. */
  async best(confirmation: Confirmation): Promise<MechanismResult[]> {
    const within = [...this.tried.values()].filter(
      result => result !== null && this.spent(result) <= this.budget,
    );
    const results = within as MechanismResult[];
    const near = results.filter(result => this.spent(result) >= FEWEST * this.budget);
    if (near.length > 0) return [this.told(await confirmation.best(near, this.mechanism.info.title))];
    const nearest = results.sort((a, b) => this.spent(b) - this.spent(a))[0];
    return nearest ? [{ ...nearest, notes: [...nearest.notes, this.shortfall(nearest)] }] : [];
  }

  /** The family's next setting that was not tried yet; null when it has no more. */
  private ask(family: SettingFamily, approach: Approach): Setting | null {
    while (approach.asked !== null) {
      const { asked } = approach;
      const [choice] = this.read(outline => settingsOf([family], outline, asked));
      const known = choice && this.tried.get(choice.key);
      if (choice && known === undefined) return choice;
      approach.told(known ? this.spent(known) : null);
    }
    return null;
  }

  /** By the shape of the first core that the mechanism serves: what a share means in tokens hardly differs between cores. */
  private read(settings: (outline: CoreInput) => MechanismParams[]): Setting[] {
    const { info, refuses } = this.mechanism;
    for (const outline of this.outlines) {
      const found = settings(outline)
        .map(params => settingOf(info, params))
        .filter(({ params }) => !refuses?.(outline, params));
      if (found.length > 0) return found;
    }
    return [];
  }

  private file(run: LocalRun): MechanismResult | null {
    const result = run.heads.length > 0 ? localResult(run) : null;
    this.tried.set(run.choice.key, result);
    return result;
  }

  /** Of other units than pairs it is said what is spent: tables show pairs. */
  private told(result: MechanismResult): MechanismResult {
    if (this.unit === 'pairs') return result;
    const text = say('spends', plainPercent(this.spent(result)), UNITS[this.unit], plainPercent(this.budget));
    return { ...result, notes: [...result.notes, { kind: 'budget', text }] };
  }

  private shortfall(result: MechanismResult): Note {
    const text = `Spends ${plainPercent(this.spent(result))} of the ${UNITS[this.unit]}: no setting found comes nearer to ${plainPercent(this.budget)}.`;
    return { kind: 'budget', text };
  }

  /** As a share of what dense attention spends. */
  private spent({ pairs, densePairs, spending }: MechanismResult): number {
    const { own, dense } = spending?.[this.unit] ?? { own: pairs, dense: densePairs };
    return own / dense;
  }
}

/** Each of the settings that a mechanism has for a share, as a way of its own to grow with it. */
function waysOf(settings: NonNullable<Mechanism['settings']>): SettingFamily[] {
  return [0, 1, 2].map(way => (input, share) => settings(input, Math.min(1, share))[way] ?? null);
}

/** Chooses between settings by runs of the whole model. */
class Confirmation {
  private dense: Promise<DensePredictions> | null = null;

  constructor(
    private readonly analysis: Analysis,
    private readonly contributions: readonly (readonly number[])[],
    private readonly signal: AbortSignal,
    private readonly onRun: (title: string) => void,
  ) {}

  async best(results: readonly MechanismResult[], title: string): Promise<MechanismResult> {
    const error = ({ heads }: MechanismResult) =>
      weighedError(heads, (core, head) => this.contributions[core]![head]!);
    const ranked = results
      .map(result => ({ result, error: error(result) }))
      .sort((a, b) => a.error - b.error);
    const close = ranked.filter(one => one.error <= CLOSE ** 2 * ranked[0]!.error).slice(0, CONFIRMED);
    if (close.length === 1) return close[0]!.result;
    const moved: { result: MechanismResult; shift: number }[] = [];
    for (const { result } of close) {
      this.onRun(title);
      moved.push({ result, shift: await this.shift(result.setting) });
    }
    return moved.sort((a, b) => a.shift - b.shift)[0]!.result;
  }

  /** How far the predictions move (less noisy than the loss), or the output where there are none. */
  private async shift(choice: Setting): Promise<number> {
    const { analysis, signal } = this;
    const context = analysis.context(signal);
    const output = await runWith(analysis, choice, signal);
    if (!analysis.loss) return (await effectOf(analysis, output, signal)).delta;
    this.dense ??= analysis
      .predict((_, input) => denseOutput(input, context), { signal })
      .then(dense => new DensePredictions(dense, KEPT_BYTES));
    return (await (await this.dense).compare(output, predictedIds(analysis), context)).shift;
  }
}
