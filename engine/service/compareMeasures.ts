import { type Analysis, type AnalysedCore, type CoreTensors } from './analysis';
import type { LocalRun } from './densePass';
import { compareCoreLocally, localResult, startRun } from './mechanismRuns';
import { densePairs, ownMap } from '../attention/core';
import { denseScores } from '../attention/kernels/lines';
import type { Attended } from '../attention/mechanism';
import { findMechanism } from '../attention/registry';
import { lseOfKept } from '../measure/comparison';
import { breaksIdentity, divergence } from '../measure/divergence';
import { EdgeRecall, entmaxKeys, topPKeys } from '../measure/goldGraphs';
import type { HeadComparison, HeadMeasures, Setting, MechanismResult } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { drawnRatios, meanOfDraws, middle95 } from '../../shared/bootstrap';
import { mean } from '../statistics';

/** Rows of one head that are looked at in full, evenly spaced: bounds the time, and nothing N x N is kept. */
export const SAMPLED_ROWS = 128;

/** `analysis/compare`: the results with `measures` filled in, of mechanisms that were not run yet too. */
export async function compareMeasures(
  analysis: Analysis,
  choices: readonly Setting[],
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<MechanismResult[]> {
  const known = [...analysis.results.values()].map(({ setting }) => setting);
  const runs: Run[] = [];
  for (const choice of choices.length > 0 ? choices : known) {
    const result = analysis.results.get(choice.key) ?? startRun(choice);
    runs.push({ choice, known: result, heads: new Map(), recalls: [], errors: [], broken: [] });
  }
  const visit = (core: number, tensors: CoreTensors) => {
    onProgress(core / analysis.cores.length);
    return measureCore(analysis, analysis.core(core), tensors, runs, signal);
  };
  await analysis.visitAlone([...analysis.cores.keys()], visit, signal);
  return runs.map(run => {
    const result = withMeasures(run);
    analysis.results.set(run.choice.key, result);
    return result;
  });
}

interface Run {
  choice: Setting;
  /** What was computed before, or what this pass compares. */
  known: MechanismResult | LocalRun;
  heads: Map<HeadComparison, HeadMeasures>;
  /** Per head: means, draw by draw. */
  recalls: Float64Array[];
  errors: Float64Array[];
  /** Heads whose divergence and mass contradict each other. */
  broken: string[];
}

async function measureCore(
  analysis: Analysis,
  core: AnalysedCore,
  tensors: CoreTensors,
  runs: Run[],
  signal: AbortSignal,
): Promise<void> {
  const { info } = core.result;
  const those: { run: Run; heads: HeadComparison[]; attended: Attended }[] = [];
  for (const run of runs) {
    if (isNew(run.known)) await compareCoreLocally(analysis, run.known, info.core, tensors, signal);
    const heads = run.known.heads.filter(head => head.core === info.core);
    if (heads.length === 0) continue; // The mechanism cannot be had in this core.
    const attended = await analysis.attendLocally(run.choice, info.core, tensors.input, signal);
    those.push({ run, heads, attended });
  }
  if (those.length === 0) return;
  for (let head = 0; head < info.heads; head++) {
    await checkpoint(signal);
    const tallies = those.map(({ attended }) => new Tally(attended, head, core.lse, tensors));
    const graphs = await measureRows(tensors, head, tallies, signal);
    those.forEach(({ run, heads, attended }, m) => {
      const comparison = heads.find(one => one.head === head)!;
      const { recall, error } = drawn(core, tensors, attended, head);
      if (recall) run.recalls.push(recall);
      run.errors.push(error);
      const tally = tallies[m]!;
      if (tally.broken > 0) run.broken.push(`core ${info.core} head ${head} (${tally.broken} queries)`);
      run.heads.set(comparison, {
        sparsity: comparison.densePairs === 0 ? 0 : 1 - comparison.pairs / comparison.densePairs,
        recallInterval: recall && middle95(recall),
        outputErrorInterval: middle95(error),
        queries: tensors.input.queries,
        ...graphs,
        ...tally.measures(),
      });
    });
  }
}

/** What the sampled rows of one head say of one mechanism. */
class Tally {
  private readonly entmax = new EdgeRecall();
  private readonly topP = new EdgeRecall();
  private kl = 0;
  private rows = 0;
  private negative = 0;
  private soft = false;
  private readonly lse: Float32Array | null;
  broken = 0;

  constructor(
    private readonly attended: Attended,
    private readonly head: number,
    private readonly denseLse: Float32Array,
    private readonly tensors: CoreTensors,
  ) {
    this.lse = lseOfKept(tensors.input, attended);
  }

  /** `logDense(key)`: log of the dense probability in this row. */
  add(
    query: number,
    entmaxGraph: Int32Array,
    topPGraph: Int32Array,
    logDense: (key: number) => number,
  ): void {
    const { attended, head } = this;
    const row = attended.row(head, query);
    if (attended.lse) {
      this.entmax.add(entmaxGraph, row);
      this.topP.add(topPGraph, row);
    }
    if (row.mask) this.soft = true;
    const found = divergence(row, logDense);
    if (!found) return;
    if (found.kl === null) this.negative++;
    else {
      this.kl += found.kl;
      this.rows++;
    }
    if (!this.lse || attended.reweighted) return;
    const at = head * this.tensors.input.queries + query;
    if (breaksIdentity(found, this.lse[at]! - this.denseLse[at]!)) this.broken++;
  }

  measures(): Pick<HeadMeasures, 'entmaxRecall' | 'topPRecall' | 'kl' | 'klQueries' | 'negative'> {
    const { lse } = this;
    const { reweighted, pairs } = this.attended;
    // Where everything is kept, the sampled rows say 0 without the rounding of the sums.
    const some = pairs[this.head]! < densePairs(this.tensors.input);
    const { sum, rows } =
      lse && !reweighted && !this.soft && some ? this.ofEveryRow(lse) : { sum: this.kl, rows: this.rows };
    return {
      entmaxRecall: this.entmax.recall,
      topPRecall: this.topP.recall,
      kl: this.negative > 0 || rows === 0 || sum === Infinity ? null : Math.max(0, sum / rows),
      klQueries: rows,
      negative: this.negative,
    };
  }

  /** Of a hard set of pairs the divergence is -log(mass kept), which is known of every query. */
  private ofEveryRow(lse: Float32Array): { sum: number; rows: number } {
    const { queries } = this.tensors.input;
    let [sum, rows] = [0, 0];
    for (let at = this.head * queries; at < (this.head + 1) * queries; at++) {
      if (lse[at] === -Infinity) continue; // Nothing is kept, or nothing is visible.
      sum += this.denseLse[at]! - lse[at]!;
      rows++;
    }
    return { sum, rows };
  }
}

async function measureRows(
  { input }: CoreTensors,
  head: number,
  tallies: readonly Tally[],
  signal: AbortSignal,
): Promise<Pick<HeadMeasures, 'sampled' | 'entmaxPairs' | 'topPPairs'>> {
  const sample = evenlySpaced(input.queries, SAMPLED_ROWS);
  const map = ownMap(input);
  let entmaxPairs = 0;
  let topPPairs = 0;
  for (const [t, query] of sample.entries()) {
    if (t % 16 === 0) await checkpoint(signal);
    const { from, scores, lse } = denseScores(map, head, query);
    if (lse === -Infinity) continue;
    const shifted = (keys: Int32Array) => keys.map(key => key + from);
    const entmaxGraph = shifted(entmaxKeys(scores));
    const topPGraph = shifted(topPKeys(scores.map(score => Math.exp(score - lse))));
    entmaxPairs += entmaxGraph.length;
    topPPairs += topPGraph.length;
    const logDense = (key: number) => (scores[key - from] ?? -Infinity) - lse;
    for (const tally of tallies) tally.add(query, entmaxGraph, topPGraph, logDense);
  }
  const sampled = sample.length;
  return { sampled, entmaxPairs: entmaxPairs / sampled, topPPairs: topPPairs / sampled };
}

/** All of 0 .. count-1 up to the limit, else the middles of as many equal stretches. */
export function evenlySpaced(count: number, limit: number): number[] {
  const length = Math.min(count, limit);
  return Array.from({ length }, (_, t) => Math.floor(((t + 0.5) * count) / length));
}

/** Recall and output error of one head when blocks of queries are drawn anew. */
function drawn(
  { lse: denseLse }: AnalysedCore,
  { input, output }: CoreTensors,
  attended: Attended,
  head: number,
): { recall: Float64Array | null; error: Float64Array } {
  const { queries, valueDim } = input;
  const found = attended.output;
  const lse = lseOfKept(input, attended);
  const first = head * queries;
  const perQuery = (value: (query: number) => number) =>
    Float64Array.from({ length: queries }, (_, q) => value(q));
  const squares = (value: (t: number) => number) =>
    perQuery(query => {
      let sum = 0;
      for (let t = (first + query) * valueDim; t < (first + query + 1) * valueDim; t++) sum += value(t) ** 2;
      return sum;
    });
  const sees = (query: number) => denseLse[first + query]! > -Infinity;
  const kept = (query: number) => Math.min(1, Math.exp(lse![first + query]! - denseLse[first + query]!));
  return {
    recall: lse
      ? drawnRatios(
          perQuery(query => (sees(query) ? kept(query) : 0)),
          perQuery(query => Number(sees(query))),
        )
      : null,
    error: drawnRatios(
      squares(t => found[t]! - output[t]!),
      squares(t => output[t]!),
    ).map(Math.sqrt),
  };
}

function isNew(known: Run['known']): known is LocalRun {
  return 'refused' in known;
}

function withMeasures({ choice, known, heads, recalls, errors, broken }: Run): MechanismResult {
  const result = isNew(known) ? localResult(known) : known;
  const measured = result.heads.map(head => ({ ...head, measures: heads.get(head)! }));
  const values = (name: 'entmaxRecall' | 'topPRecall' | 'kl') => {
    const found = measured.flatMap(({ measures }) => measures[name] ?? []);
    return found.length === 0 ? null : mean(found);
  };
  const first = measured[0]?.measures;
  if (!first) return result;
  const { title } = findMechanism(choice.name).info;
  const text = `${title}: divergence and kept mass contradict each other in ${broken.join(', ')}.`;
  return {
    ...result,
    heads: measured,
    measures: {
      recallInterval: recalls.length === 0 ? null : middle95(meanOfDraws(recalls)),
      outputErrorInterval: middle95(meanOfDraws(errors)),
      sampled: first.sampled,
      queries: first.queries,
      entmaxRecall: values('entmaxRecall'),
      topPRecall: values('topPRecall'),
      kl: values('kl'),
    },
    notes:
      broken.length === 0
        ? result.notes
        : [...result.notes.filter(note => note.kind !== 'contradiction'), { kind: 'contradiction', text }],
  };
}
