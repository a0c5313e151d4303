import type { Plan, Setting } from '../../shared/protocol/engine';
import { numbersOf, type RowNumbers } from './compareRows';
import { share, TOLERANCE, type Measure, type Tried } from './tried';

export interface Compared {
  row: Tried;
  numbers: RowNumbers;
  value: number;
}

/** A setting with which the model was run on, in every head. */
export interface RunOn {
  choice: Setting;
  share: number;
  measure: 'loss' | 'output';
  delta: number;
  perToken?: Float32Array;
}

/** What may be said of settings side by side: only those that spend alike are ranked. */
export interface FairComparison {
  /** Those that spend alike, best first. */
  ranked: Compared[];
  /** Those that spend more than the budget. */
  over: Tried[];
  /** From the cheapest to the dearest, where no budget is set and they spend too differently to be ranked; else null. */
  apart: { least: number; most: number } | null;
  /** Of those within the budget, what was run on, least change first; empty where nothing spends alike. */
  runs: RunOn[];
  /** Ranked, and not run on. */
  notRun: Tried[];
}

/**
 * @param budget of pairs that all may spend; null: settings as they are, which are ranked only if they spend alike
 * @param plan whose runs of one mechanism in every head count as well, so that two sentences say the same
 */
export function fairComparison(
  rows: readonly Tried[],
  options: { head: string | null; measure: Measure; budget: number | null; plan: Plan | null },
): FairComparison {
  const { head, measure, budget, plan } = options;
  const all = rows.flatMap((row): Compared[] => {
    const numbers = numbersOf(row, head);
    const value = numbers?.[measure] ?? null;
    return numbers && value !== null ? [{ row, numbers, value }] : [];
  });
  const limit = budget === null ? Infinity : budget * TOLERANCE;
  const within = all.filter(({ numbers }) => numbers.share <= limit);
  const over = all.filter(one => !within.includes(one)).map(({ row }) => row);
  const shares = within.map(({ numbers }) => numbers.share);
  const [least, most] = [Math.min(...shares), Math.max(...shares)];
  const apart = budget === null && most > least * TOLERANCE ? { least, most } : null;
  if (apart) return { ranked: [], over, apart, runs: [], notRun: [] };
  const ranked = within.sort((a, b) => (measure === 'recall' ? b.value - a.value : a.value - b.value));
  const runs = runsOf(rows, plan).filter(run => run.share <= limit);
  const ran = new Set(runs.map(({ choice }) => choice.key));
  return { ranked, over, apart, runs, notRun: ranked.map(({ row }) => row).filter(row => !ran.has(row.key)) };
}

/** A change of the loss and one of the output cannot be ranked: those of the first kind that there is. */
function runsOf(rows: readonly Tried[], plan: Plan | null): RunOn[] {
  const found = new Map<string, RunOn>();
  for (const row of rows)
    if (row.effect) found.set(row.key, { choice: row.choice, share: share(row), ...row.effect });
  for (const { choice, share, effect } of plan?.uniform ?? [])
    found.set(choice.key, { choice, share, ...effect });
  const runs = [...found.values()];
  return runs.filter(run => run.measure === runs[0]!.measure).sort((a, b) => a.delta - b.delta);
}
