/** Gathers what an HTML report embeds of a finished analysis: one walk over the dense rows of every head. */
import type { Analysis, CoreTensors } from './analysis';
import { BucketMapSums, BucketTally, bucketedHead, eachDenseRow, type BucketedHead } from './buckets';
import { addToCells } from './cellSums';
import { costFormulas } from './cost';
import { lostKeysVisit } from './lostKeys';
import { SplitRow } from './splitRow';
import { visibleKeys, type CoreInput } from '../attention/core';
import type { Attended, SparseRow } from '../attention/mechanism';
import { findMechanism, mechanismInfos } from '../attention/registry';
import { indexArray, keptCodes, massCodes, pointCodes, rootCode, roundedFloats } from '../export/quantise';
import {
  LINK_CODES,
  LOST_CODES,
  type ReportBuckets,
  type ReportChange,
  type ReportCore,
  type ReportData,
  type ReportHead,
  type ReportKept,
  type ReportMechanism,
} from '../../shared/reportData';
import {
  TILE_SIZE,
  type AnalysisSummary,
  type Buckets,
  type CostFormulas,
  type HeadAssignment,
  type Intervention,
  type InterventionResult,
  type MechanismResult,
  type Plan,
  type ReportParams,
} from '../../shared/protocol/engine';
import { costLengths } from '../../shared/costLengths';
import { distinct, type Setting } from '../../shared/setting';

/** What a report may hold, over all heads: so a text of any length gives a file of some 10 MB. */
const BUDGET = {
  /** Cells of the maps, hidden halves not counted. */
  cells: 4_000_000,
  /** Cells of what mechanisms keep, all mechanisms together. */
  keptCells: 10_000_000,
  links: 800_000,
  /** Cells of the maps sorted by bucket, all mechanisms and rounds together. */
  bucketCells: 1_200_000,
};
const MOST_LINKS = 16;
/** A lost key with less mass than this is not told. */
const LEAST_LOST = 0.001;

/** As 2026-01-31. */
export const today = (): string => new Date().toISOString().slice(0, 10);

export async function gatherReport(
  analysis: Analysis,
  { document, text, summary, plan, intervention }: Omit<ReportParams, 'id'>,
  version: string,
  signal: AbortSignal,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<ReportData> {
  const cores: ReportCore[] = [];
  const heads = analysis.cores.reduce((sum, core) => sum + core.result.heads.length, 0);
  let done = 0;
  let shown: { mechanisms: ReportMechanism[]; sizes: Sizes } | null = null;
  const changes = changesAsked(analysis, summary, plan, intervention, signal);
  const gather = async (core: number, tensors: CoreTensors) => {
    const { input } = tensors;
    if (!shown) {
      const mechanisms = await shownMechanisms(analysis, summary, core, input, signal);
      shown = { mechanisms, sizes: chooseSizes(analysis, mechanisms) };
    }
    const { mechanisms, sizes } = shown;
    const { queries, keys } = input;
    const whole = Math.max(0, Math.ceil(Math.log2(Math.max(queries, keys) / TILE_SIZE)));
    const level = Math.min(sizes.level, whole);
    const keptLevel = Math.min(sizes.keptLevel, whole);
    const own = { ...sizes, level, keptLevel };
    const gathered: ReportHead[] = [];
    for (let head = 0; head < input.heads; head++) {
      gathered.push(await gatherHead(analysis, mechanisms, own, core, head, input, signal));
      onProgress(++done / heads);
    }
    cores.push({
      queries,
      keys,
      level,
      keptLevel,
      mask: input.rule.mask,
      byDistance: roundedFloats(analysis.core(core).byDistance),
      heads: gathered,
    });
    for (const { lost } of changes) if (lost.cores.includes(core)) await lost.visit(core, tensors);
  };
  await analysis.visitAlone([...analysis.cores.keys()], gather, signal);
  const { mechanisms, sizes } = shown!;
  return {
    document,
    version,
    made: today(),
    text: text.slice(
      0,
      summary.tokens.end.reduce((a, b) => Math.max(a, b), 0),
    ),
    summary,
    plan,
    intervention,
    infos: [...mechanismInfos],
    level: sizes.level,
    links: sizes.links,
    mechanisms,
    cores,
    costs: await costs(analysis, summary, signal),
    changes: changes.map(({ lost, ...change }) => ({ ...change, lost: lost.worst })),
  };
}

function costs(
  analysis: Analysis,
  { cores, mechanisms, tokens }: AnalysisSummary,
  signal: AbortSignal,
): Promise<CostFormulas[]> {
  const lengths = costLengths(tokens.ids.length);
  return Promise.all(
    cores.map(({ info }) =>
      costFormulas(
        analysis,
        { id: analysis.id, core: info.core, mechanisms: settingsOf(mechanisms), lengths },
        signal,
      ),
    ),
  );
}

/** What was lost by the tokens that each changed run hurts most: more of them than a view lists. */
const WORST = 32;

interface AskedChange extends Pick<ReportChange, 'heads' | 'interventions'> {
  lost: ReturnType<typeof lostKeysVisit>;
}

function changesAsked(
  analysis: Analysis,
  { mechanisms }: AnalysisSummary,
  plan: Plan | null,
  intervention: InterventionResult | null,
  signal: AbortSignal,
): AskedChange[] {
  const asked: AskedChange[] = [];
  const add = (heads: HeadAssignment[], interventions: Intervention[], perToken: Float32Array) => {
    const order = Array.from(perToken.keys()).sort((a, b) => perToken[b]! - perToken[a]!);
    const params = { heads, interventions, queries: order.slice(0, WORST) };
    asked.push({ heads, interventions, lost: lostKeysVisit(analysis, params, signal) });
  };
  for (const { setting: choice, deltaLossPerToken, deltaOutputPerToken } of mechanisms) {
    const perToken = deltaLossPerToken ?? deltaOutputPerToken;
    if (perToken) add([], [{ kind: 'mechanism', core: null, head: null, choice }], perToken);
  }
  if (plan) {
    const heads = plan.heads.map(({ core, head, choice }) => ({ core, head, choice }));
    add(heads, [], plan.effect.perToken);
  }
  if (intervention) add([], intervention.interventions, intervention.effect.perToken);
  return asked;
}

/** The mechanisms of the summary, each once: local and propagated results speak of the same choice. */
async function shownMechanisms(
  analysis: Analysis,
  summary: AnalysisSummary,
  core: number,
  input: CoreInput,
  signal: AbortSignal,
): Promise<ReportMechanism[]> {
  const found: ReportMechanism[] = [];
  for (const choice of settingsOf(summary.mechanisms)) {
    const attended = await analysis.attendLocally(choice, core, input, signal);
    found.push({ choice, keepsPairs: attended.lse !== null });
  }
  return found;
}

interface Sizes {
  level: number;
  keptLevel: number;
  links: number;
  /** Side of the maps sorted by bucket. */
  bucketMap: number;
}

function chooseSizes(analysis: Analysis, mechanisms: ReportMechanism[]): Sizes {
  let rows = 0;
  const shapes = analysis.cores.map(({ outline: { heads, queries, keys, rule } }) => {
    rows += heads * queries;
    return { heads, queries, keys, causal: rule.mask.causal };
  });
  const cellsAt = (level: number) =>
    shapes.reduce(
      (sum, { heads, queries, keys, causal }) =>
        sum + (heads * Math.ceil(queries / 2 ** level) * Math.ceil(keys / 2 ** level)) / (causal ? 2 : 1),
      0,
    );
  const finest = (budget: number) => {
    let level = 0;
    while (cellsAt(level) > budget && level < 16) level++;
    return level;
  };
  const level = finest(BUDGET.cells);
  const keeping = mechanisms.filter(m => m.keepsPairs).length;
  const allHeads = shapes.reduce((sum, { heads }) => sum + heads, 0);
  // A round of hashing has a map of its own; two mechanisms with two rounds each are usual.
  const maps = 4 * allHeads;
  return {
    level,
    keptLevel: Math.max(level, finest(BUDGET.keptCells / Math.max(1, keeping))),
    links: Math.max(2, Math.min(MOST_LINKS, Math.floor(BUDGET.links / rows))),
    bucketMap: Math.max(32, Math.min(160, Math.floor(Math.sqrt(BUDGET.bucketCells / maps)))),
  };
}

async function gatherHead(
  analysis: Analysis,
  mechanisms: ReportMechanism[],
  sizes: Sizes,
  core: number,
  head: number,
  input: CoreInput,
  signal: AbortSignal,
): Promise<ReportHead> {
  const cells = new CellSums(input, sizes.level);
  const links = new Links(input, sizes.links);
  const keptCells = sizes.keptLevel === sizes.level ? cells : new CellSums(input, sizes.keptLevel);
  const entropyByQuery = analysis
    .core(core)
    .entropy.subarray(head * input.queries, (head + 1) * input.queries);
  const shown: { run: Attended | null; kept: KeptSums | null; buckets: BucketSums | null }[] = [];
  for (const { choice, keepsPairs } of mechanisms) {
    const run = keepsPairs ? await analysis.attendLocally(choice, core, input, signal) : null;
    const view = findMechanism(choice.name).info.view;
    const bucketed =
      view === 'buckets'
        ? await bucketedHead(analysis, { id: analysis.id, core, head, mechanism: choice }, input, signal)
        : null;
    shown.push({
      run,
      kept: run && new KeptSums(input, keptCells),
      buckets: bucketed && new BucketSums(bucketed, sizes.bucketMap),
    });
  }
  const split = new SplitRow(input.keys);
  await eachDenseRow(analysis, input, head, signal, (query, row) => {
    const { from, to } = visibleKeys(input, query);
    cells.add(query, row, from, to);
    if (keptCells !== cells) keptCells.add(query, row, from, to);
    links.add(query, row, from, to);
    for (const { run, kept, buckets } of shown) {
      if (!run) continue;
      const keptRow = run.row(head, query);
      split.split(row, keptRow, from, to);
      kept!.add(query, row, keptRow, split, from, to);
      buckets?.add(query, row, keptRow, split, from, to);
    }
  });
  const found = shown.map(each => each.buckets?.result() ?? null);
  const points = found.find(result => result)?.projection ?? null;
  const extent = points ? largestOf([points.queries, points.keys]) : 0;
  return {
    max: massCodes(cells.max),
    mean: sizes.level === 0 ? null : massCodes(cells.mean()),
    linkGaps: links.gaps,
    linkMass: links.mass,
    entropy: roundedFloats(entropyByQuery),
    kept: shown.map(each => each.kept?.result() ?? null),
    buckets: found.map((result, m) => result && slimBuckets(result, shown[m]!.buckets!)),
    points: points && {
      queries: pointCodes(points.queries, extent),
      keys: pointCodes(points.keys, extent),
      extent,
    },
  };
}

/** Mean and maximum of square cells of 2^level tokens. */
class CellSums {
  readonly max: Float32Array;
  readonly sum: Float32Array;
  readonly cell: number;
  readonly columns: number;

  constructor(
    private readonly input: CoreInput,
    readonly level: number,
  ) {
    this.cell = 2 ** level;
    this.columns = Math.ceil(input.keys / this.cell);
    const size = Math.ceil(input.queries / this.cell) * this.columns;
    this.max = new Float32Array(size);
    this.sum = new Float32Array(size);
  }

  add(query: number, row: Float32Array, from: number, to: number): void {
    addToCells(this, Math.floor(query / this.cell) * this.columns, 0, from, row.subarray(from, to));
  }

  mean(): Float32Array {
    const { cell, columns, sum } = this;
    const { queries, keys } = this.input;
    const mean = new Float32Array(sum.length);
    for (let r = 0, at = 0; at < mean.length; r++) {
      const height = Math.min(cell, queries - r * cell);
      for (let c = 0; c < columns; c++, at++)
        mean[at] = sum[at]! / (height * Math.min(cell, keys - c * cell));
    }
    return mean;
  }
}

/** The heaviest keys of every query. */
class Links {
  readonly gaps: Uint16Array | Uint32Array;
  readonly mass: Uint16Array;
  private readonly shift: number;
  /** The heaviest of one query, heaviest first. */
  private readonly found: Uint32Array;

  constructor(
    input: CoreInput,
    private readonly top: number,
  ) {
    this.found = new Uint32Array(top);
    this.gaps = indexArray(input.queries * top, input.keys);
    this.shift = input.keys - input.queries;
    this.mass = new Uint16Array(input.queries * top);
  }

  add(query: number, row: Float32Array, from: number, to: number): void {
    const { top, found } = this;
    let count = 0;
    let least = 0;
    // From the nearest key, which tends to be among the heaviest: few of the later ones then move the others.
    for (let j = to - 1; j >= from; j--) {
      const mass = row[j]!;
      if (mass <= least) continue;
      let at = count < top ? count++ : top - 1;
      for (; at > 0 && row[found[at - 1]!]! < mass; at--) found[at] = found[at - 1]!;
      found[at] = j;
      if (count === top) least = row[found[top - 1]!]!;
    }
    let before = query + this.shift;
    const nearestFirst = found.subarray(0, count).sort().reverse();
    nearestFirst.forEach((key, t) => {
      this.gaps[query * top + t] = before - key;
      this.mass[query * top + t] = rootCode(row[key]!, LINK_CODES);
      before = key;
    });
  }
}

/** What one mechanism keeps of one head: per cell, per query, and the heaviest key that each query loses. */
class KeptSums {
  private readonly kept: Float32Array;
  private readonly mass: Uint8Array;
  private readonly lostKey: Uint16Array | Uint32Array;
  private readonly lostMass: Uint8Array;

  /** @param dense sums of the whole mass, which all mechanisms are compared with */
  constructor(
    input: CoreInput,
    private readonly dense: CellSums,
  ) {
    this.kept = new Float32Array(dense.sum.length);
    this.mass = new Uint8Array(input.queries);
    this.lostKey = indexArray(input.queries, input.keys + 1);
    this.lostMass = new Uint8Array(input.queries);
  }

  add(
    query: number,
    row: Float32Array,
    { keys, mask }: SparseRow,
    { lost, worst, kept: sum }: SplitRow,
    from: number,
    to: number,
  ): void {
    const { kept } = this;
    const { level, cell, columns } = this.dense;
    const at = Math.floor(query / cell) * columns;
    for (let t = 0; t < keys.length; t++) {
      const key = keys[t]!;
      kept[at + (key >> level)]! += row[key]! * (mask ? mask[t]! : 1);
    }
    this.mass[query] = Math.round(255 * Math.min(1, sum));
    if (to <= from || lost[worst]! < LEAST_LOST) return;
    this.lostMass[query] = rootCode(lost[worst]!, LOST_CODES);
    this.lostKey[query] = worst + 1;
  }

  result(): ReportKept {
    const { sum } = this.dense;
    const shares = this.kept;
    for (let c = 0; c < shares.length; c++) shares[c] = sum[c]! > 0 ? shares[c]! / sum[c]! : 0;
    return { cells: keptCodes(shares), mass: this.mass, lostKey: this.lostKey, lostMass: this.lostMass };
  }
}

/** Buckets of one head and the map sorted by them, of every round. */
class BucketSums {
  private readonly tally: BucketTally;
  readonly maps: BucketMapSums[];

  constructor(bucketed: BucketedHead, size: number) {
    this.tally = new BucketTally(bucketed);
    this.maps = Array.from(
      { length: bucketed.assignment.rounds },
      (_, round) => new BucketMapSums(bucketed, round, size),
    );
  }

  add(query: number, row: Float32Array, kept: SparseRow, split: SplitRow, from: number, to: number): void {
    this.tally.add(query, kept, split, from, to);
    for (const map of this.maps) map.add(query, row, kept);
  }

  result(): Buckets {
    return this.tally.result();
  }
}

function slimBuckets({ projection, ...buckets }: Buckets, sums: BucketSums): ReportBuckets {
  return {
    ...buckets,
    centers: projection.centers,
    explained: projection.explained,
    maps: sums.maps.map(each => {
      const { mass, kept, ...map } = each.result();
      return { ...map, mass: massCodes(mass), kept: keptCodes(kept) };
    }),
  };
}

function largestOf(lists: Float32Array[]): number {
  let largest = 0;
  for (const list of lists) for (const value of list) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** Each once: local and propagated results speak of the same setting. */
function settingsOf(results: readonly MechanismResult[]): Setting[] {
  return distinct(results.map(({ setting }) => setting));
}
