import { entropyOf } from '../statistics';
import { type AnalysedCore, type Analysis, type CoreTensors } from './analysis';
import { valueShare, valueWeights } from './valueWeights';
import type { CoreInput } from '../attention/core';
import { denseColumn, denseRow } from '../attention/kernels/lines';
import type { Attended } from '../attention/mechanism';
import { RefusedError, refused } from '../errors';
import {
  sidesOf,
  type CoreKind,
  type Link,
  type Setting,
  type RowParams,
  type TokenAttention,
  type TokenParams,
  type ValueWeights,
} from '../../shared/protocol/engine';
import { largestAt } from '../../shared/largest';

/** One query's distribution over keys, or what one key receives from every query. */
export async function lineOf(
  analysis: Analysis,
  params: RowParams,
  signal: AbortSignal,
): Promise<Float32Array> {
  analysis.head(params.core, params.head);
  const input = await analysis.headTensors(params.core, params.head, signal);
  const limit = params.direction === 'from' ? input.queries : input.keys;
  if (!(params.token >= 0 && params.token < limit)) throw refused('noToken', params.token);
  const { core, head, token, direction } = params;
  const line =
    direction === 'from'
      ? denseRow(input, 0, token)
      : denseColumn(input, lseOf(analysis, core, head), 0, token);
  return params.byValue ? weighed(await valueWeights(analysis, params, signal), line, params) : line;
}

/** Of one head, [queries]. */
function lseOf(analysis: Analysis, core: number, head: number): Float32Array {
  const { lse, outline } = analysis.core(core);
  return lse.subarray(head * outline.queries, (head + 1) * outline.queries);
}

function weighed(
  weights: ValueWeights,
  line: Float32Array,
  { direction, token }: Pick<RowParams, 'direction' | 'token'>,
): Float32Array {
  return line.map((mass, at) =>
    direction === 'from' ? valueShare(weights, mass, token, at) : valueShare(weights, mass, at, token),
  );
}

function weightsOf(
  analysis: Analysis,
  { core, head }: TokenParams,
  signal: AbortSignal,
): Promise<ValueWeights> {
  if (core === null || head === null)
    throw new RefusedError('Values weigh the attention of one head: it has to be named.');
  return valueWeights(analysis, { core, head, id: analysis.id }, signal);
}

/** Where tokens look and who looks at them: in one head, or averaged over the heads of one or all cores. */
export async function tokenAttention(
  analysis: Analysis,
  params: TokenParams,
  signal: AbortSignal,
): Promise<TokenAttention[]> {
  const { side = 'text' } = params;
  const length = side === 'text' ? analysis.tokens.ids.length : analysis.written.ids.length;
  const missing = params.tokens.find(token => !(token >= 0 && token < length));
  if (missing !== undefined) throw refused('noToken', missing);
  const chosen = headsOf(analysis, params, side);
  if (params.keptOnly && !analysis.isKept([...chosen.keys()], params.head)) throw refused('notKept');
  const weights = params.byValue ? await weightsOf(analysis, params, signal) : null;
  const { mechanisms } = params;
  const choices = mechanisms?.length === 0 ? computedChoices(analysis) : (mechanisms ?? []);
  const mean = params.core === null;
  const tallies = params.tokens.map(token => new TokenTally(token, side, choices, mean, weights));
  const visit = async (core: number, { input }: CoreTensors) => {
    const { lse, result } = analysis.core(core);
    const attended: Attended[] = [];
    const { queries, keys } = sidesOf(result.info.kind);
    if (queries === side && (keys === side || !mean)) {
      for (const choice of choices) attended.push(await analysis.attendLocally(choice, core, input, signal));
    }
    for (const tally of tallies) tally.add(input, lse, result.info.kind, chosen.get(core)!, attended);
  };
  if (params.core !== null && params.head !== null && choices.length === 0) {
    const { core, head } = params;
    const input = await analysis.headTensors(core, head, signal);
    const { kind } = analysis.core(core).result.info;
    for (const tally of tallies) tally.add(input, lseOf(analysis, core, head), kind, [0], []);
  } else await analysis.visit([...chosen.keys()], visit, signal);
  return tallies.map(tally => tally.result(analysis, params.top));
}

/** What the visited heads say of one token. */
class TokenTally {
  private readonly from = new Means();
  private readonly to = new Means();
  private readonly across = { from: new Means(), to: new Means() };
  private readonly lost: Means[];
  private entropy = 0;
  private sides: ReturnType<typeof sidesOf>;

  constructor(
    private readonly token: number,
    private readonly side: 'text' | 'target',
    private readonly choices: readonly Setting[],
    /** Over all heads: then what goes across to the other text has a mean of its own. */
    private readonly mean: boolean,
    /** Of the one head, where its values count. */
    private readonly weights: ValueWeights | null,
  ) {
    this.sides = { queries: side, keys: side };
    this.lost = choices.map(() => new Means());
  }

  /** @param attended the core under each of the mechanisms; empty where the token is no query */
  add(
    input: CoreInput,
    lse: Float32Array,
    kind: CoreKind,
    heads: readonly number[],
    attended: readonly Attended[],
  ): void {
    const { token, side } = this;
    const sides = sidesOf(kind);
    if (this.mean && sides.queries !== sides.keys) return this.addAcross(input, lse, sides, heads);
    this.sides = sides;
    for (const head of heads) {
      if (this.sides.keys === side) this.to.add(this.weighed('to', denseColumn(input, lse, head, token)));
      if (this.sides.queries !== side) continue;
      const masses = denseRow(input, head, token);
      this.entropy += entropyOf(masses);
      const row = this.weighed('from', masses);
      this.from.add(row);
      for (const [m, run] of attended.entries()) {
        const left = row.slice();
        const { keys, mask } = run.row(head, token);
        for (let t = 0; t < keys.length; t++) left[keys[t]!]! *= 1 - (mask?.[t] ?? 1);
        this.lost[m]!.add(left);
      }
    }
  }

  private weighed(direction: RowParams['direction'], line: Float32Array): Float32Array {
    return this.weights ? weighed(this.weights, line, { direction, token: this.token }) : line;
  }

  private addAcross(
    input: CoreInput,
    lse: Float32Array,
    { queries }: ReturnType<typeof sidesOf>,
    heads: readonly number[],
  ): void {
    const { token, side, across } = this;
    for (const head of heads)
      if (queries === side) across.from.add(denseRow(input, head, token));
      else across.to.add(denseColumn(input, lse, head, token));
  }

  result(analysis: Analysis, top: number): TokenAttention {
    const { token, side, from, to, lost, across } = this;
    const written = side === (analysis.target ? 'target' : 'text') && token > 0;
    const changeOf = (choice: Setting) =>
      analysis.results.get(choice.key)?.deltaLossPerToken?.[token - 1] ?? null;
    return {
      token,
      entropy: from.count === 0 ? 0 : this.entropy / from.count,
      looksAt: from.heaviest(top),
      looksAtSide: this.sides.keys,
      lookedAtBy: to.heaviest(top),
      lookedAtBySide: this.sides.queries,
      ...(across.from.count + across.to.count > 0 && {
        across: { looksAt: across.from.heaviest(top), lookedAtBy: across.to.heaviest(top) },
      }),
      loss: written && analysis.loss ? analysis.loss[token - 1]! : null,
      kept: this.choices.map((mechanism, m) => ({
        mechanism,
        mass: lost[m]!.count === 0 ? 1 : Math.max(0, 1 - lost[m]!.total()),
        costliestLost: lost[m]!.heaviest(1).find(link => link.mass > 1e-6) ?? null,
        deltaLoss: written ? changeOf(mechanism) : null,
      })),
    };
  }
}

/** One head, the heads of one core, or all heads whose queries or keys are of the token's text. */
function headsOf(analysis: Analysis, params: TokenParams, side: 'text' | 'target'): Map<number, number[]> {
  if (params.core !== null && params.head !== null) {
    analysis.head(params.core, params.head);
    return new Map([[params.core, [params.head]]]);
  }
  const within = (core: AnalysedCore) => {
    const { queries, keys } = sidesOf(core.result.info.kind);
    return queries === side || keys === side;
  };
  const cores = params.core === null ? analysis.cores.filter(within) : [analysis.core(params.core)];
  return new Map(cores.map(({ result }) => [result.info.core, result.heads.map((_, head) => head)]));
}

function computedChoices(analysis: Analysis): Setting[] {
  return [...analysis.results.values()].map(({ setting }) => setting);
}

/** The mean of several rows (or columns) of equal length. */
class Means {
  count = 0;
  private sums = new Float64Array(0);

  add(values: Float32Array): void {
    if (this.count++ === 0) this.sums = new Float64Array(values.length);
    for (let i = 0; i < values.length; i++) this.sums[i]! += values[i]!;
  }

  /** Sum over the entries of the mean. */
  total(): number {
    return this.sums.reduce((sum, value) => sum + value, 0) / this.count;
  }

  /** The `top` heaviest entries, heaviest first. */
  heaviest(top: number): Link[] {
    return largestAt(this.sums, top)
      .filter(token => this.sums[token]! > 0)
      .map(token => ({ token, mass: this.sums[token]! / this.count }));
  }
}
