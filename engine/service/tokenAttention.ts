import { choiceKey, type Analysis } from './analysis';
import type { CoreInput } from '../attention/core';
import { denseColumn, denseRow } from '../attention/lines';
import { RefusedError } from '../errors';
import type { Link, MechanismChoice, RowParams, TokenAttention, TokenParams } from '../protocol';
import { checkpoint, type Cancellation } from '../runtime/cancellation';

/** One query's distribution over keys, or what one key receives from every query. */
export async function lineOf(analysis: Analysis, params: RowParams): Promise<Float32Array> {
  const { lse } = analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core);
  const limit = params.direction === 'from' ? input.queries : input.keys;
  if (!(params.token >= 0 && params.token < limit))
    throw new RefusedError(`There is no token ${params.token}.`);
  return params.direction === 'from'
    ? denseRow(input, params.head, params.token)
    : denseColumn(input, lse, params.head, params.token);
}

/** Where a token looks and who looks at it: in one head, or averaged over the heads of one or all cores. */
export async function tokenAttention(
  analysis: Analysis,
  params: TokenParams,
  cancellation: Cancellation,
): Promise<TokenAttention> {
  const { token } = params;
  if (!(token >= 0 && token < analysis.tokens.ids.length))
    throw new RefusedError(`There is no token ${token}.`);
  const chosen = headsOf(analysis, params);
  const from = new Float64Array(analysis.tokens.ids.length);
  const to = new Float64Array(analysis.tokens.ids.length);
  const choices = params.mechanisms.length > 0 ? params.mechanisms : computedChoices(analysis);
  const lost = choices.map(() => new Float64Array(analysis.tokens.ids.length));
  const kept = choices.map(() => 0);
  let entropy = 0;

  for (const [core, heads] of chosen) {
    await checkpoint(cancellation);
    const { input } = await analysis.tensors(core);
    const { lse } = analysis.core(core);
    for (const head of heads) {
      const row = denseRow(input, head, token);
      add(from, row);
      add(to, denseColumn(input, lse, head, token));
      entropy += entropyOf(row);
    }
    for (let m = 0; m < choices.length; m++) {
      kept[m]! += await keptBy(analysis, choices[m]!, core, heads, token, input, lost[m]!, cancellation);
    }
  }
  const count = chosen.reduce((sum, [, heads]) => sum + heads.length, 0);
  return {
    token,
    entropy: entropy / count,
    looksAt: heaviest(from, count, params.top),
    lookedAtBy: heaviest(to, count, params.top),
    loss: token > 0 && analysis.loss ? analysis.loss[token - 1]! : null,
    kept: choices.map((mechanism, m) => ({
      mechanism,
      mass: Math.min(1, kept[m]! / count),
      costliestLost: heaviest(lost[m]!, count, 1).find(link => link.mass > 1e-6) ?? null,
      deltaLoss:
        (token > 0 && analysis.results.get(choiceKey(mechanism))?.deltaLossPerToken?.[token - 1]) || null,
    })),
  };
}

function headsOf(analysis: Analysis, params: TokenParams): [core: number, heads: number[]][] {
  if (params.core !== null && params.head !== null) {
    analysis.head(params.core, params.head);
    return [[params.core, [params.head]]];
  }
  const cores = params.core === null ? analysis.cores : [analysis.core(params.core)];
  return cores.map(({ result }) => [result.info.core, result.heads.map((_, head) => head)]);
}

function computedChoices(analysis: Analysis): MechanismChoice[] {
  return [...analysis.results.values()].map(({ name, params }) => ({ name, params }));
}

/** Sums the kept mass over heads; adds what is dropped of each key to `lost`. */
async function keptBy(
  analysis: Analysis,
  choice: MechanismChoice,
  core: number,
  heads: number[],
  token: number,
  input: CoreInput,
  lost: Float64Array,
  cancellation: Cancellation,
): Promise<number> {
  const attended = await analysis.attendLocally(choice, core, cancellation);
  let total = 0;
  for (const head of heads) {
    const row = denseRow(input, head, token);
    const { keys, mask } = attended.row(head, token);
    for (let t = 0; t < keys.length; t++) {
      const share = mask?.[t] ?? 1;
      total += row[keys[t]!]! * share;
      row[keys[t]!]! *= 1 - share;
    }
    add(lost, row);
  }
  return total;
}

function add(sum: Float64Array, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) sum[i]! += values[i]!;
}

function entropyOf(row: Float32Array): number {
  let entropy = 0;
  for (const p of row) if (p > 0) entropy -= p * Math.log(p);
  return entropy;
}

/** The `top` heaviest of sums over `count` heads, as means, heaviest first. */
function heaviest(sums: Float64Array, count: number, top: number): Link[] {
  const order = Array.from(sums.keys()).filter(i => sums[i]! > 0);
  order.sort((a, b) => sums[b]! - sums[a]!);
  return order.slice(0, top).map(token => ({ token, mass: sums[token]! / count }));
}
