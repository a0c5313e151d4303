/** A text without a dense pass: a mechanism, or one for each head, in every core, and exact rows of a sample of queries. */
import { Analysis } from './analysis';
import { byCore } from './changedRun';
import { readLoss } from './densePass';
import { refuseInput, refuseNotFinite } from './finite';
import { densePairs, outlineOf, type CoreInput } from '../attention/core';
import { denseCore, denseRows } from '../attention/kernels/dense';
import { someHeads } from '../attention/kernels/subset';
import { lseOfKept } from '../measure/comparison';
import { profileCore, type CoreProfile } from '../measure/profile';
import { allRows, estimate, perPlace, sampledRows, type RowRange } from '../measure/sample';
import { tokenMarks } from '../model/tokens/text';
import { checkpoint } from '../runtime/cancellation';
import { asFloats, type Tensor } from '../runtime/tensor';
import {
  sidesOf,
  type CoreInfo,
  type CoreResult,
  type HeadAssignment,
  type Setting,
} from '../../shared/protocol/engine';
import type { FarLink, PairsSeen, SparseAnalysis } from '../../shared/protocol/sampled';
import { say } from '../../shared/sentences';

export interface SparsePassOptions {
  signal: AbortSignal;
  seed: number;
  onProgress(fraction: number, message: string): void;
  onCore(result: CoreResult): void;
}

/** What attends in the cores, read. `plan`: the file that says so. */
export type SparseAttention = { setting: Setting } | { heads: readonly HeadAssignment[]; plan?: string };

/** One core as it ran. `lse`: [heads, queries] log of the mass kept; null where a head keeps no set of pairs. */
interface SparseCore {
  output: Float32Array;
  lse: (Float32Array | null)[];
  /** Of each head. */
  pairs: number[];
  extra: Record<string, Tensor>;
}

/** Links told of an analysis, and how many of each core are looked at exactly. */
const LINKS = 20;
const LINKS_OF_CORE = 8;
/** A link lighter than this is none. */
const LIGHTEST = 0.1;

/** Fills `analysis.cores` and `analysis.loss`; from then on the analysis' passes run the same attention. */
export async function sparsePass(
  analysis: Analysis,
  attention: SparseAttention,
  { signal, seed, onProgress, onCore }: SparsePassOptions,
): Promise<SparseAnalysis> {
  const { model } = analysis;
  const marks = { text: tokenMarks(analysis.tokens), target: tokenMarks(analysis.written) };
  const attend = attentionOf(analysis, attention);
  const missedByHead: number[][] = [];
  const links: FarLink[] = [];
  const seen: PairsSeen = { pairs: null, densePairs: 0 };
  let queries = 0;
  let all = true;
  const output = await analysis.run(
    async (info, input) => {
      await checkpoint(signal);
      refuseInput(input);
      onProgress(info.core / model.info.cores.length, say('layerHeads', info.layer, info.heads));
      const sample = sampledRows(input.queries, seed);
      const places = sample ?? allRows(input.queries);
      const context = analysis.context(signal);
      const profile = await profileCore(input, info, marks[sidesOf(info.kind).keys], context, false, sample);
      const result: CoreResult = { info, heads: profile.heads };
      analysis.cores[info.core] = {
        result,
        lse: profile.lse,
        entropy: profile.entropy,
        byDistance: profile.byDistance,
        outline: outlineOf(input),
        tensors: null,
      };
      const ran = await attend(info.core, input, signal);
      const dense = densePairs(input);
      const pairs = ran.pairs.map((count, head) => (ran.lse[head] ? count : null));
      for (const count of pairs) {
        if (count === null) continue;
        seen.pairs = (seen.pairs ?? 0) + count;
        seen.densePairs += dense;
      }
      const missed = ran.lse.map((own, head) => {
        const lse = lseOfKept(input, { lse: own });
        return lse && missedAt(places, profile, lse, head, input);
      });
      missedByHead.push(...missed.filter(one => one !== null));
      queries = places.reduce((sum, { rows }) => sum + rows, 0);
      all = sample === null;
      profile.heads.forEach((head, h) => {
        const at = (values: Float32Array) => (query: number) => values[h * input.queries + query]!;
        head.sampled = {
          queries,
          pairs: pairs[h]!,
          densePairs: dense,
          missed: missed[h] ? estimate(missed[h], { all, bounded: true }) : null,
          entropy: estimate(perPlace(places, at(profile.entropy)), { all }),
          span95: estimate(perPlace(places, known(at(profile.span95))), { all }),
        };
      });
      links.push(...(await farLinks(info, input, ran.extra, analysis, signal)));
      onCore(result);
      return ran.output;
    },
    {
      signal,
      onHidden: ({ at, data, rows, width }) => at === 'output' && refuseNotFinite(data, rows, width),
    },
  );
  analysis.standIn = async (core, input, own) => (await attend(core, input, own)).output;
  onProgress(1, say('lossOfTokens'));
  await readLoss(
    analysis,
    output,
    async ({ core }, input) => (await attend(core, input, signal)).output,
    signal,
  );
  const together = missedByHead[0]?.map((_, place) => {
    const values = missedByHead.map(places => places[place]!).filter(value => !Number.isNaN(value));
    return values.reduce((a, b) => a + b, 0) / values.length;
  });
  return {
    setting: 'setting' in attention ? attention.setting : null,
    ...('plan' in attention && { plan: attention.plan }),
    queries,
    ...seen,
    missed: together ? estimate(together, { all, bounded: true }) : null,
    links: links.sort((a, b) => b.mass - a.mass).slice(0, LINKS),
  };
}

const known = (value: (query: number) => number) => (query: number) => {
  const found = value(query);
  return found < 0 ? NaN : found;
};

/** What a run leaves out of the mass of the sampled queries, place by place. */
function missedAt(
  places: readonly RowRange[],
  { lse: dense }: CoreProfile,
  kept: Float32Array,
  head: number,
  { queries }: CoreInput,
): number[] {
  return perPlace(places, query => {
    const at = head * queries + query;
    if (dense[at] === -Infinity) return NaN;
    return Math.min(1, Math.max(0, 1 - Math.exp(kept[query]! - dense[at]!)));
  });
}

/** Runs a core under the chosen attention; what mechanisms are fitted to is this run's own Q and K. */
function attentionOf(analysis: Analysis, attention: SparseAttention) {
  if ('setting' in attention) {
    return async (core: number, input: CoreInput, signal: AbortSignal): Promise<SparseCore> => {
      const { output, lse, pairs, extra } = await analysis.attend(attention.setting, core, input, signal);
      const ofHead = (_: unknown, head: number) =>
        lse && lse.subarray(head * input.queries, (head + 1) * input.queries);
      return { output, lse: Array.from({ length: input.heads }, ofHead), pairs: [...pairs], extra };
    };
  }
  const assigned = byCore(analysis.model.info.cores, attention.heads);
  return async (core: number, input: CoreInput, signal: AbortSignal): Promise<SparseCore> => {
    const { heads, queries, valueDim } = input;
    const size = queries * valueDim;
    const output = new Float32Array(heads * size);
    const lse: (Float32Array | null)[] = new Array(heads).fill(null);
    const pairs: number[] = [];
    for (const [head, choice] of assigned[core]!.entries()) {
      await checkpoint(signal);
      if (choice) await analysis.fitHead(choice, core, head, input, signal);
      const ran = choice
        ? await analysis.attendHead(choice, core, head, input, signal)
        : await denseCore(someHeads(input, [head]), analysis.context(signal));
      output.set(ran.output, head * size);
      lse[head] = ran.lse;
      pairs.push('pairs' in ran ? ran.pairs[0]! : densePairs(input));
    }
    return { output, lse, pairs, extra: {} };
  };
}

/** The queries of a core whose far keys weigh most by the search, with the mass that their exact rows give those keys. */
async function farLinks(
  { core }: CoreInfo,
  input: CoreInput,
  extra: Record<string, Tensor>,
  analysis: Analysis,
  signal: AbortSignal,
): Promise<FarLink[]> {
  const [keys, masses] = [extra['heaviest_key'], extra['heaviest_mass']];
  if (!keys || !masses) return [];
  const mass = asFloats(masses)!;
  const best: number[] = [];
  mass.forEach((value, at) => {
    if (value < LIGHTEST) return;
    if (best.length === LINKS_OF_CORE && value <= mass[best.at(-1)!]!) return;
    best.push(at);
    best.sort((a, b) => mass[b]! - mass[a]!);
    best.length = Math.min(best.length, LINKS_OF_CORE);
  });
  const links: FarLink[] = [];
  for (const at of best) {
    const [head, query] = [Math.floor(at / input.queries), at % input.queries];
    const key = Number(keys.data[at]);
    const row = await denseRows(input, head, query, query + 1, analysis.context(signal));
    links.push({ core, head, query, key, mass: row[key]! });
  }
  return links.filter(link => link.mass >= LIGHTEST);
}
