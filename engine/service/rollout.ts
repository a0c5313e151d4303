/** `analysis/rollout`: attention multiplied over the layers (Abnar and Zuidema, Quantifying Attention Flow in Transformers, 2020). */
import type { Analysis } from './analysis';
import type { CoreInput } from '../attention/core';
import { denseRows, type DenseContext } from '../attention/kernels/dense';
import { refused } from '../errors';
import { checkpoint } from '../runtime/cancellation';
import { sidesOf, type Rollout, type RolloutParams } from '../../shared/protocol/engine';
import { sum } from '../statistics';

/** What of a row stays where it is: the residual connection beside the attention. */
const STAYS = 0.5;
/** Probabilities that are held at once. */
const HELD = 2 ** 20;

/**
 * Rows of the product, from the last core to the first: a row times a core's matrix takes each of that matrix' rows once, so that no
 * matrix is held.
 */
export async function rollout(
  analysis: Analysis,
  { tokens, side = 'text' }: RolloutParams,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Rollout> {
  const length = (side === 'text' ? analysis.tokens : analysis.written).ids.length;
  const missing = tokens.find(token => !(Number.isInteger(token) && token >= 0 && token < length));
  if (missing !== undefined) throw refused('noToken', missing);
  const cores = analysis.cores.flatMap(({ result: { info } }) => {
    const { queries, keys } = sidesOf(info.kind);
    return queries === side && keys === side ? [info.core] : [];
  });
  if (cores.length === 0) throw refused('rolloutText');
  const inputs: CoreInput[] = [];
  await analysis.visitAlone(cores, (_, { input }) => void inputs.push(input), signal);
  let rows = tokens.map(token => oneAt(token, length));
  for (const [done, input] of inputs.reverse().entries()) {
    onProgress(done / inputs.length);
    rows = await timesCore(rows, input, analysis.context(signal));
  }
  return { cores, rows: rows.map(row => Float32Array.from(row)) };
}

/** The rows times (A + I) / 2 of a core. */
async function timesCore(
  rows: readonly Float64Array[],
  input: CoreInput,
  context: DenseContext,
): Promise<Float64Array[]> {
  const { queries, keys } = input;
  if (queries !== keys) throw refused('rolloutKeys');
  const product = rows.map(() => new Float64Array(keys));
  const step = Math.max(1, Math.floor(HELD / keys));
  for (let from = 0; from < queries; from += step) {
    await checkpoint(context.signal);
    const to = Math.min(queries, from + step);
    if (!rows.some(row => row.subarray(from, to).some(share => share > 0))) continue;
    const attention = await meanOfHeads(input, from, to, context);
    for (let query = from; query < to; query++) {
      const seen = attention.subarray((query - from) * keys, (query - from + 1) * keys);
      const whole = STAYS + (1 - STAYS) * sum(seen);
      for (const [at, row] of rows.entries()) {
        const share = row[query]! / whole;
        if (share > 0) addRow(product[at]!, seen, query, share);
      }
    }
  }
  return product;
}

function addRow(product: Float64Array, seen: Float64Array, query: number, share: number): void {
  product[query]! += STAYS * share;
  for (let key = 0; key < seen.length; key++) product[key]! += (1 - STAYS) * share * seen[key]!;
}

/** Probabilities of queries from .. to-1, the mean over the heads: [to - from, keys]. */
async function meanOfHeads(
  input: CoreInput,
  from: number,
  to: number,
  context: DenseContext,
): Promise<Float64Array> {
  const means = new Float64Array((to - from) * input.keys);
  for (let head = 0; head < input.heads; head++) {
    const probabilities = await denseRows(input, head, from, to, context);
    for (let at = 0; at < means.length; at++) means[at]! += probabilities[at]! / input.heads;
  }
  return means;
}

const oneAt = (token: number, length: number): Float64Array =>
  Float64Array.from({ length }, (_, at) => (at === token ? 1 : 0));
