import type {
  BudgetUnit,
  EmbeddingChange,
  HeadComparison,
  Setting,
  MechanismResult,
  Note,
  Plan,
  PlanCandidate,
  Spending,
} from '../../shared/protocol/engine';

/** One setting of one mechanism, with all that is known of it: a row of the comparison, a point of the Pareto picture. */
export interface Tried {
  key: string;
  choice: Setting;
  /** By `headKey`, local; every head of the model. */
  heads: Map<string, HeadComparison>;
  recall: number | null;
  outputError: number;
  pairs: number;
  densePairs: number;
  /** In every unit, where it is known of all heads. */
  spending?: Spending;
  /** Propagated; null while the model was not run on with it. */
  effect: {
    measure: 'loss' | 'output';
    delta: number;
    perToken?: Float32Array;
    embedding?: EmbeddingChange;
  } | null;
  /** Labels the user must see. */
  notes: Note[];
  /** A result of the analysis, not only a try. */
  computed: boolean;
}

export type Measure = 'recall' | 'outputError';

export const headKey = ({ core, head }: { core: number; head: number }) => `${core}.${head}`;

export const share = ({ pairs, densePairs }: { pairs: number; densePairs: number }) =>
  densePairs > 0 ? pairs / densePairs : 0;

/**
 * Everything tried on this text: results of the analysis first, then what was tried at some budget, then what the search
 * of the plan tried in every head.
 */
export function allTried(
  results: readonly MechanismResult[],
  plan: Plan | null,
  fits: readonly MechanismResult[] = [],
): Tried[] {
  const found = new Map<string, Tried>();
  for (const result of [...results, ...fits]) {
    const { key } = result.setting;
    const before = found.get(key);
    const effect = effectOf(result);
    // A propagated result repeats the local numbers: one of the two is enough, the effect is what it adds.
    if (before) {
      before.effect ??= effect;
      if (result.spending && !before.spending) {
        const priced = fromHeads(result.setting, result.heads, before.effect, result);
        found.set(key, { ...priced, computed: before.computed });
      }
    } else found.set(key, fromHeads(result.setting, result.heads, effect, result));
  }
  for (const result of results) found.get(result.setting.key)!.computed = true;
  if (!plan) return [...found.values()];
  const heads = new Set(plan.candidates.map(headKey)).size;
  for (const [key, candidates] of grouped(plan.candidates)) {
    if (found.has(key) || new Set(candidates.map(headKey)).size < heads) continue;
    found.set(key, fromHeads(candidates[0]!.choice, candidates, null, null));
  }
  for (const { choice, effect } of plan.uniform) {
    const same = found.get(choice.key);
    if (same) same.effect ??= effect;
  }
  return [...found.values()];
}

/** Rows whose `pairs` are what they spend in another unit; without those of which that is not known. */
export function inUnit(rows: readonly Tried[], unit: BudgetUnit): Tried[] {
  if (unit === 'pairs') return [...rows];
  return rows.flatMap(row => {
    if (!row.spending || ![...row.heads.values()].every(({ spending }) => spending)) return [];
    const heads = [...row.heads].map(([key, head]) => [key, priced(head, unit)] as const);
    return [{ ...priced(row, unit), heads: new Map(heads) }];
  });
}

/** What is spent in a unit, in the place of the pairs. */
export function priced<T extends { pairs: number; densePairs: number; spending?: Spending }>(
  one: T,
  unit: BudgetUnit,
): T {
  const spent = unit === 'pairs' ? undefined : one.spending?.[unit];
  return spent ? { ...one, pairs: spent.own, densePairs: spent.dense } : one;
}

function grouped(candidates: readonly PlanCandidate[]): Map<string, PlanCandidate[]> {
  const groups = new Map<string, PlanCandidate[]>();
  for (const candidate of candidates) {
    const key = candidate.choice.key;
    const group = groups.get(key);
    if (group) group.push(candidate);
    else groups.set(key, [candidate]);
  }
  return groups;
}

function fromHeads(
  choice: Setting,
  heads: readonly HeadComparison[],
  effect: Tried['effect'],
  result: MechanismResult | null,
): Tried {
  const sum = (of: (head: HeadComparison) => number) => heads.reduce((total, head) => total + of(head), 0);
  return {
    key: choice.key,
    choice,
    heads: new Map(heads.map(head => [headKey(head), head])),
    recall:
      result?.recall ?? (heads.some(h => h.recall === null) ? null : sum(h => h.recall!) / heads.length),
    outputError: result?.outputError ?? sum(h => h.outputError) / heads.length,
    pairs: sum(h => h.pairs),
    densePairs: sum(h => h.densePairs),
    ...(result?.spending && { spending: result.spending }),
    effect,
    notes: result?.notes ?? [],
    computed: false,
  };
}

function effectOf(result: MechanismResult): Tried['effect'] {
  const perToken = result.deltaLossPerToken ?? result.deltaOutputPerToken;
  const tokens = perToken && { perToken };
  if (result.deltaLoss !== null) return { measure: 'loss', delta: result.deltaLoss, ...tokens };
  const { embedding } = result;
  if (result.deltaOutput !== null)
    return { measure: 'output', delta: result.deltaOutput, ...tokens, ...(embedding && { embedding }) };
  return null;
}

/** A setting that is at most this many times over the budget counts as within it: whole tokens and blocks round. */
export const TOLERANCE = 1.1;

/**
 * One setting of each mechanism: of those that spend no more than the budget the one with the least error (root of the
 * mean square over heads); a mechanism that was not tried so cheap has its cheapest.
 */
export function atBudget(tried: readonly Tried[], budget: number): Tried[] {
  const best = new Map<string, Tried>();
  const within = (one: Tried) => share(one) <= budget * TOLERANCE;
  for (const one of tried) {
    const before = best.get(one.choice.name);
    const better =
      !before ||
      (within(one) !== within(before)
        ? within(one)
        : within(one)
          ? squaredError(one) < squaredError(before)
          : share(one) < share(before));
    if (better) best.set(one.choice.name, one);
  }
  return [...best.values()];
}

function squaredError({ heads }: Tried): number {
  let sum = 0;
  for (const { outputError } of heads.values()) sum += outputError ** 2;
  return sum / heads.size;
}

// ---------------------------------------------------------------- points

export interface Point {
  key: string;
  choice: Setting;
  /** Share of the dense pairs. */
  share: number;
  recall: number | null;
  outputError: number;
}

/** Points of one head, or of all heads together; of rows in this unit. */
export function points(
  tried: readonly Tried[],
  plan: Plan | null,
  head: string | null,
  unit: BudgetUnit = 'pairs',
): Point[] {
  if (head === null)
    return tried.map(one => ({
      key: one.key,
      choice: one.choice,
      share: share(one),
      recall: one.recall,
      outputError: one.outputError,
    }));
  const found = new Map<string, Point>();
  const add = (choice: Setting, of: HeadComparison) => {
    const key = choice.key;
    if (!found.has(key))
      found.set(key, { key, choice, share: share(of), recall: of.recall, outputError: of.outputError });
  };
  for (const one of tried) {
    const mine = one.heads.get(head);
    if (mine) add(one.choice, mine);
  }
  for (const candidate of plan?.candidates ?? [])
    if (headKey(candidate) === head && (unit === 'pairs' || candidate.spending))
      add(candidate.choice, priced(candidate, unit));
  return [...found.values()];
}

/** The points that no other beats in both share and measure, cheapest first. */
export function front(all: readonly Point[], measure: Measure): Point[] {
  const loss = (p: Point) => (measure === 'recall' ? -(p.recall ?? -Infinity) : p.outputError);
  const sorted = all
    .filter(p => Number.isFinite(loss(p)))
    .sort((a, b) => a.share - b.share || loss(a) - loss(b));
  let least = Infinity;
  return sorted.filter(p => {
    if (loss(p) >= least) return false;
    least = loss(p);
    return true;
  });
}

// ---------------------------------------------------------------- labels

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Label {
  text: string;
  /** Middle of what it names. */
  x: number;
  y: number;
}

const overlap = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** Where labels have room: right, left, above or below of a point; null where they have none. The first come go first. */
export function placeLabels(
  labels: readonly Label[],
  taken: readonly Box[],
  frame: Box,
  measure: (text: string) => number = text => text.length * 6.2,
): ({ x: number; y: number } | null)[] {
  const used = [...taken];
  const [height, gap] = [13, 8];
  return labels.map(({ text, x, y }) => {
    const width = measure(text);
    const places = [
      { x: x + gap, y: y - height / 2 },
      { x: x - gap - width, y: y - height / 2 },
      { x: x - width / 2, y: y - gap - height },
      { x: x - width / 2, y: y + gap },
      { x: x + gap, y: y + 3 },
      { x: x + gap, y: y - height - 3 },
    ];
    for (const at of places) {
      const box = { ...at, width, height };
      const inside =
        box.x >= frame.x &&
        box.y >= frame.y &&
        box.x + width <= frame.x + frame.width &&
        box.y + height <= frame.y + frame.height;
      if (!inside || used.some(other => overlap(other, box))) continue;
      used.push(box);
      return at;
    }
    return null;
  });
}
