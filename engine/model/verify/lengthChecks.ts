import { createHash } from 'node:crypto';
import { RefusedError, told } from '../../errors';
import { checkpoint } from '../../runtime/cancellation';
import type { Runtime } from '../../runtime/runtime';
import { ChainRows, sidesOf, type Content, NOTHING } from '../cut/chain';
import type { CutCore } from '../cut/cutGraph';
import type { Plan } from '../cut/cutPlan';
import type { Ids } from '../cut/feeds';
import { PieceLoader } from '../cut/pieces';
import { LONGEST_PROBE, opaqueBias, type ProbedRule } from '../cut/probe';
import { agrees, type Rows, type RowSource } from '../cut/rowsAgree';
import { bordersOf, rowsToCheck } from '../cut/rowsToCheck';
import { ruleAtLength } from '../cut/ruleAtLength';

/** The rules of all cores for texts of these lengths, and how far they were compared with the model's own graph. */
export interface RulesAtLength {
  rules: readonly ProbedRule[];
  /** Tokens of the text (and of the target text). */
  tokens: readonly number[];
  /** Of the queries, the share that was compared (`rowsToCheck`), of the attention with the fewest; 1 = every one. */
  share: number;
  /** Less than `tokens` where a chain could not be computed at this length: the length at which it was compared. */
  upTo: number;
}

/**
 * Of the pairs of all heads, the share whose chain is computed again for comparison. Comparing a pair costs a quarter of what
 * measuring it does, and half the pairs of a causal model are not measured: this is 1 to 2 % of an analysis.
 */
const SHARE = 1 / 32;
/** Rules kept per chain, of the lengths looked at. */
const KEPT = 4;
/** Tokens of the longest look ahead at load. */
const LOOK_AHEAD = 2 ** 15;
/** A bias computed by the graph is quadratic: at most this many bytes of it at once. */
const OPAQUE_LIMIT = 2 ** 30;
/** Pairs that are compared whatever the share, of all chains together: a tenth of a second. */
const FEW_PAIRS = 2 ** 24;

/**
 * Before a text is analysed, what was learnt from short samples is compared with the model's own graph at the text's real
 * length, row by row, and learnt anew where the two differ.
 */
export class LengthChecks {
  private readonly loader: PieceLoader;
  private readonly chains = new Map<string, Promise<ChainRows>>();
  private readonly known = new Map<string, Promise<RulesAtLength>>();
  /** Learnt at some length, per chain, the latest first. */
  private readonly learnt = new Map<string, ProbedRule[]>();

  constructor(
    private readonly plan: Plan,
    runtime: Runtime,
    folder: string,
  ) {
    this.loader = new PieceLoader(runtime, folder, 'basic', true);
  }

  /** The rules for texts of the lengths of `ids`; compared once per length. @throws RefusedError */
  at(ids: Ids, signal: AbortSignal): Promise<RulesAtLength> {
    const key = `${ids.ids.length}:${ids.target?.length ?? ''}`;
    let found = this.known.get(key);
    if (!found) {
      found = this.compare(ids, signal);
      this.known.set(key, found);
      found.catch(() => this.known.delete(key));
    }
    return found;
  }

  private async compare(ids: Ids, signal: AbortSignal): Promise<RulesAtLength> {
    const { cores, chainKeys } = this.plan;
    const tokens = ids.target ? [ids.ids.length, ids.target.length] : [ids.ids.length];
    const result = { tokens, share: 1, upTo: Math.max(...tokens) };
    const found = new Map<string, ProbedRule>();
    for (const [index, core] of cores.entries()) {
      const key = chainKeys[index]!;
      // What depends on the text is compared when the text has come as far as this core.
      if (found.has(key) || core.found.contentSides.length > 0) continue;
      if (core.found.native?.scores === 'own') continue;
      await checkpoint(signal);
      const chain = await this.chain(index);
      let given = ids;
      while (!chain.affordable(given)) given = halved(given);
      result.upTo = Math.min(result.upTo, Math.max(given.ids.length, given.target?.length ?? 0));
      const source = sourceOf(core, chain, given, noContent);
      const rows = this.rowsOf(index, chain, source);
      result.share = Math.min(result.share, shareOf(rows, source));
      found.set(key, await this.learn(index, source, rows));
      chain.forget();
    }
    const rules = cores.map((_, index) => found.get(chainKeys[index]!) ?? this.plan.rules[index]!);
    return Object.assign(result, { rules });
  }

  /** What is known of each core: the rule learnt at the length that was looked at last, else the probe's. */
  latest(): ProbedRule[] {
    return this.plan.rules.map((rule, index) => this.learnt.get(this.plan.chainKeys[index]!)?.[0] ?? rule);
  }

  /**
   * Prepares the chains of masks and biases, so that the first text need not wait for them. Windows larger than a probe shows
   * are known to a chain as numbers: a look just beyond each of them.
   */
  async prepare(signal: AbortSignal): Promise<void> {
    const { cores, chainKeys, thresholds, rules, survey } = this.plan;
    const limit = Math.min(LOOK_AHEAD, this.plan.context ?? Infinity);
    for (const [index, core] of cores.entries()) {
      if (core.found.native?.scores === 'own') continue;
      await checkpoint(signal);
      const chain = await this.chain(index);
      const beyond = thresholds[index]!.filter(t => 2 * t + 4 > LONGEST_PROBE && t < limit);
      const done = chainKeys.indexOf(chainKeys[index]!) < index;
      if (done || beyond.length === 0 || rules[index]!.opaque || core.found.contentSides.length > 0) continue;
      const length = Math.min(limit, 2 * Math.max(...beyond) + 4);
      const ids = survey.ids(length, length, 3);
      if (!chain.affordable(ids)) continue;
      const source = sourceOf(core, chain, ids, noContent);
      const rows = { some: rowsToCheck(source.queries, beyond, [], 1, 0), all: false };
      // What is not understood so far out is said when a text comes so far.
      await this.learn(index, source, rows).catch(() => null);
      chain.forget();
    }
  }

  private async learn(index: number, source: RowSource, rows: Rows): Promise<ProbedRule> {
    const key = this.plan.chainKeys[index]!;
    const earlier = this.learnt.get(key) ?? [];
    const base = this.plan.rules[index]!;
    const found = await ruleAtLength(source, [...earlier, base], rows);
    if (!found) throw this.notUnderstood(index, source);
    const others = earlier.filter(rule => rule !== found);
    if (found !== base && !found.opaque) this.learnt.set(key, [found, ...others].slice(0, KEPT));
    return { ...found, checked: { queries: source.queries, keys: source.keys } };
  }

  /** The bias of an opaque core for this text, computed by the model's graph in blocks of rows; [heads or 1, queries, keys]. */
  async opaque(
    index: number,
    ids: Ids,
    content: Content,
    rule: ProbedRule,
    signal: AbortSignal,
  ): Promise<ProbedRule> {
    const core = this.plan.cores[index]!;
    const chain = await this.chain(index);
    if (!chain.affordable(ids))
      throw new RefusedError(
        told`The attention of ${placeName(this.plan, index)} uses ${chain.resists} in a way that takes the whole matrix of its scores, which is too large for this text; use a shorter one.`,
      );
    const source = sourceOf(core, chain, ids, content);
    const bytes = 4 * chain.outputPlanes * source.queries * source.keys;
    if (bytes > OPAQUE_LIMIT)
      throw new RefusedError(
        told`The model computes its attention bias as a full matrix, which would take ${Math.round(bytes / 2 ** 20)} MB for this text; use a shorter one.`,
      );
    const found = { ...rule, ...(await wholeBias(source, rule)) };
    if (source.content) {
      // Another text may do something else to its scores.
      const rows = this.rowsOf(index, chain, source);
      const checked = await this.at(ids, signal);
      checked.share = Math.min(checked.share, shareOf(rows, source));
      if (!(await agrees(source, found, rows))) throw this.notUnderstood(index, source);
    }
    chain.forget();
    return { ...found, checked: { queries: source.queries, keys: source.keys } };
  }

  private notUnderstood(index: number, { keys }: RowSource): RefusedError {
    return new RefusedError(
      told`What the attention of ${placeName(this.plan, index)} does to its scores in a text of ${keys} tokens is not understood.`,
    );
  }

  private chain(index: number): Promise<ChainRows> {
    const { graph, cores, chainKeys, survey } = this.plan;
    const key = chainKeys[index]!;
    let chain = this.chains.get(key);
    if (!chain) this.chains.set(key, (chain = ChainRows.load(graph, cores[index]!, this.loader, survey)));
    return chain;
  }

  private rowsOf(index: number, chain: ChainRows, { queries, keys }: RowSource): Rows {
    const { chainKeys, constants, cores, rules } = this.plan;
    const heads = cores.reduce((sum, core) => sum + core.heads, 0);
    const planes = new Set(chainKeys).size * chain.outputPlanes;
    const share = Math.max(FEW_PAIRS / (queries * keys), SHARE * heads) / planes;
    const borders = [rules[index]!, ...(this.learnt.get(chainKeys[index]!) ?? [])].flatMap(bordersOf);
    const seed = createHash('sha1').update(chainKeys[index]!).digest().readUInt32LE(0);
    const all = share >= 1;
    const some = rowsToCheck(queries, constants[index]!, borders, seed, all ? 0 : share);
    return { some, all };
  }

  async release(): Promise<void> {
    await this.loader.release();
  }
}

const shareOf = ({ some, all }: Rows, { queries }: RowSource): number => (all ? 1 : some.length / queries);

const noContent: Content = name => {
  throw new Error(`internal: ${name} is no part of a rule`);
};

function halved({ ids, target }: Ids): Ids {
  const half = (list: Int32Array) => list.subarray(0, Math.max(1, list.length >> 1));
  return { ids: half(ids), target: target && half(target) };
}

function sourceOf(core: CutCore, chain: ChainRows, ids: Ids, content: Content): RowSource {
  return {
    ...sidesOf(core, ids),
    heads: core.heads,
    content: core.found.contentSides.length > 0,
    half: chain.half,
    nothing: nothingOf(core),
    planes: chain.outputPlanes,
    scorePlanes: chain.planes,
    rows: (rows, scores, room) => chain.evaluate(ids, rows, scores, content, room),
  };
}

/**
 * Where every key of a query is hidden, a softmax spreads evenly over hidden numbers and gives NaN of infinite ones, unless the
 * graph makes that 0 or a sink takes all.
 */
function nothingOf({ found: { interior, sink } }: CutCore): number {
  if (sink !== null) return NOTHING;
  return interior.some(n => n.op === 'IsNaN' || n.op === 'Attention') ? -Infinity : NaN;
}

/** Elements of a bias that one evaluation gives at most. */
const BLOCK = 2 ** 22;

/** The bias as a whole, and the mask that it leaves. */
async function wholeBias(source: RowSource, rule: ProbedRule): Promise<Pick<ProbedRule, 'bias' | 'mask'>> {
  const { planes, queries, keys } = source;
  const step = Math.max(1, Math.floor(BLOCK / (planes * keys)));
  const whole = new Float32Array(planes * queries * keys);
  for (let from = 0; from < queries; from += step) {
    const rows = Int32Array.from({ length: Math.min(step, queries - from) }, (_, r) => from + r);
    const { data } = await source.rows(rows, 0);
    const width = rows.length * keys;
    for (let h = 0; h < planes; h++)
      whole.set(data.subarray(h * width, (h + 1) * width), (h * queries + from) * keys);
  }
  const bias = opaqueBias(planes, whole);
  return { bias, mask: { causal: rule.mask.causal && hidesFuture(bias, queries, keys), window: null } };
}

function hidesFuture({ data, heads }: { data: Float32Array; heads: number }, queries: number, keys: number) {
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < queries; i++)
      for (let j = Math.max(0, i + keys - queries + 1); j < keys; j++)
        if (data[(h * queries + i) * keys + j] !== -Infinity) return false;
  return true;
}

function placeName({ places }: Plan, index: number): string {
  const { kind, layer } = places[index]!;
  return `layer ${layer} (${kind})`;
}
