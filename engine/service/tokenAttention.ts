import { choiceKey, type AnalysedCore, type Analysis } from './analysis';
import type { CoreInput } from '../attention/core';
import { denseColumn, denseRow } from '../attention/kernels/lines';
import { RefusedError, told } from '../errors';
import {
  sidesOf,
  type Link,
  type MechanismChoice,
  type RowParams,
  type TokenAttention,
  type TokenParams,
} from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';

/** One query's distribution over keys, or what one key receives from every query. */
export async function lineOf(analysis: Analysis, params: RowParams): Promise<Float32Array> {
  const { lse } = analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core);
  const limit = params.direction === 'from' ? input.queries : input.keys;
  if (!(params.token >= 0 && params.token < limit))
    throw new RefusedError(told`There is no token ${params.token}.`);
  return params.direction === 'from'
    ? denseRow(input, params.head, params.token)
    : denseColumn(input, lse, params.head, params.token);
}

/** Where a token looks and who looks at it: in one head, or averaged over the heads of one or all cores. */
export async function tokenAttention(
  analysis: Analysis,
  params: TokenParams,
  signal: AbortSignal,
): Promise<TokenAttention> {
  const { token, side = 'text' } = params;
  const length = side === 'text' ? analysis.tokens.ids.length : analysis.written.ids.length;
  if (!(token >= 0 && token < length)) throw new RefusedError(told`There is no token ${token}.`);
  const chosen = headsOf(analysis, params, side);
  const choices = params.mechanisms.length > 0 ? params.mechanisms : computedChoices(analysis);
  const from = new Means();
  const to = new Means();
  const lost = choices.map(() => new Means());
  let entropy = 0;
  let sides: ReturnType<typeof sidesOf> = { queries: side, keys: side };

  for (const [core, heads] of chosen) {
    await checkpoint(signal);
    const { input } = await analysis.tensors(core);
    const { lse, result } = analysis.core(core);
    sides = sidesOf(result.info.kind);
    for (const head of heads) {
      if (sides.keys === side) to.add(denseColumn(input, lse, head, token));
      if (sides.queries !== side) continue;
      const row = denseRow(input, head, token);
      from.add(row);
      entropy += entropyOf(row);
    }
    if (sides.queries !== side) continue;
    for (let m = 0; m < choices.length; m++) {
      await addLost(analysis, choices[m]!, core, heads, token, input, lost[m]!, signal);
    }
  }
  const written = side === (analysis.target ? 'target' : 'text') && token > 0;
  return {
    token,
    entropy: from.count === 0 ? 0 : entropy / from.count,
    looksAt: from.heaviest(params.top),
    looksAtSide: sides.keys,
    lookedAtBy: to.heaviest(params.top),
    lookedAtBySide: sides.queries,
    loss: written && analysis.loss ? analysis.loss[token - 1]! : null,
    kept: choices.map((mechanism, m) => ({
      mechanism,
      mass: lost[m]!.count === 0 ? 1 : Math.max(0, 1 - lost[m]!.total()),
      costliestLost: lost[m]!.heaviest(1).find(link => link.mass > 1e-6) ?? null,
      deltaLoss:
        (written && analysis.results.get(choiceKey(mechanism))?.deltaLossPerToken?.[token - 1]) || null,
    })),
  };
}

/** One head, the heads of one core, or all heads whose queries and keys are of the token's own text. */
function headsOf(
  analysis: Analysis,
  params: TokenParams,
  side: 'text' | 'target',
): [core: number, heads: number[]][] {
  if (params.core !== null && params.head !== null) {
    analysis.head(params.core, params.head);
    return [[params.core, [params.head]]];
  }
  const within = (core: AnalysedCore) => {
    const { queries, keys } = sidesOf(core.result.info.kind);
    return queries === side && keys === side;
  };
  const cores = params.core === null ? analysis.cores.filter(within) : [analysis.core(params.core)];
  return cores.map(({ result }) => [result.info.core, result.heads.map((_, head) => head)]);
}

function computedChoices(analysis: Analysis): MechanismChoice[] {
  return [...analysis.results.values()].map(({ name, params }) => ({ name, params }));
}

/** Adds, for each of the heads, what the mechanism drops of the token's row. */
async function addLost(
  analysis: Analysis,
  choice: MechanismChoice,
  core: number,
  heads: number[],
  token: number,
  input: CoreInput,
  lost: Means,
  signal: AbortSignal,
): Promise<void> {
  const attended = await analysis.attendLocally(choice, core, signal);
  for (const head of heads) {
    const row = denseRow(input, head, token);
    const { keys, mask } = attended.row(head, token);
    for (let t = 0; t < keys.length; t++) row[keys[t]!]! *= 1 - (mask?.[t] ?? 1);
    lost.add(row);
  }
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
    const order = Array.from(this.sums.keys()).filter(i => this.sums[i]! > 0);
    order.sort((a, b) => this.sums[b]! - this.sums[a]!);
    return order.slice(0, top).map(token => ({ token, mass: this.sums[token]! / this.count }));
  }
}

function entropyOf(row: Float32Array): number {
  let entropy = 0;
  for (const p of row) if (p > 0) entropy -= p * Math.log(p);
  return entropy;
}
