import type { Analysis, CoreTensors } from './analysis';
import type { LocalRun } from './densePass';
import { compareCoreLocally, localResult, startRun } from './mechanismRuns';
import type { Mechanism } from '../attention/mechanism';
import { settingOf } from '../attention/parameters';
import { findMechanism, mechanisms } from '../attention/registry';
import { RefusedError, told } from '../errors';
import type { AtBudgetParams, Setting, MechanismResult } from '../../shared/protocol/engine';

/** A setting that is at most this many times over the budget counts as within it: whole tokens and blocks round. */
const TOLERANCE = 1.1;

/**
 * Each mechanism in every head, with the one of its settings that changes the outputs least (root of the mean squared
 * error, local) among those that spend about the budget. Where all spend more, the one that spends least.
 * Mechanisms without a setting for the budget are left out, unless they were asked for by name alone.
 */
export async function atBudget(
  analysis: Analysis,
  { budget, mechanisms: names }: Omit<AtBudgetParams, 'id'>,
  signal: AbortSignal,
  onProgress: (fraction: number, message: string) => void = () => undefined,
): Promise<MechanismResult[]> {
  if (!(budget > 0 && budget <= 1))
    throw new RefusedError('A budget is a share of the dense pairs, above 0 and at most 1.');
  const chosen = names.length === 0 ? mechanisms : names.map(findMechanism);
  const tried = chosen.map(mechanism => settingsOf(analysis, mechanism, budget).map(startRun));
  const compare = async (core: number, tensors: CoreTensors) => {
    for (const [at, runs] of tried.entries()) {
      onProgress((core + at / tried.length) / analysis.cores.length, chosen[at]!.info.title);
      for (const run of runs) await compareCoreLocally(analysis, run, core, tensors, signal);
    }
  };
  await analysis.visitAlone([...analysis.cores.keys()], compare, signal);
  const found = tried.flatMap(runs => bestOf(runs, budget) ?? []);
  if (found.length === 0 && chosen.length === 1)
    throw new RefusedError(
      told`${chosen[0]!.info.title} has no setting that spends such a share of the pairs.`,
    );
  return found;
}

function bestOf(runs: readonly LocalRun[], budget: number): MechanismResult | null {
  const results = runs.filter(run => run.heads.length > 0).map(localResult);
  const within = results.filter(result => spent(result) <= TOLERANCE * budget);
  const order = within.length > 0 ? squaredError : spent;
  return (within.length > 0 ? within : results).sort((a, b) => order(a) - order(b))[0] ?? null;
}

/** By the shape of the first core that the mechanism serves: what a share means in tokens hardly differs between cores. */
function settingsOf(analysis: Analysis, mechanism: Mechanism, budget: number): Setting[] {
  const { info } = mechanism;
  if (!mechanism.settings || info.name === 'dense') return [];
  for (const { outline } of analysis.cores) {
    const found = mechanism
      .settings(outline, budget)
      .map(params => settingOf(info, params))
      .filter(({ params }) => !mechanism.refuses?.(outline, params));
    if (found.length > 0) return found;
  }
  return [];
}

function spent({ pairs, densePairs }: MechanismResult): number {
  return pairs / densePairs;
}

function squaredError({ heads }: MechanismResult): number {
  return heads.reduce((sum, head) => sum + head.outputError ** 2, 0) / heads.length;
}
