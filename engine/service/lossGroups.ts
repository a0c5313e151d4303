/** `analysis/lossGroups`: the loss by the frequency of tokens and by the context before them, under each of some mechanisms. */
import type { Analysis } from './analysis';
import { propagate, runLocally } from './mechanismRuns';
import { RefusedError } from '../errors';
import { contextsOf, effectiveContext, FREQUENCIES, lossGroups } from '../measure/lossGroups';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { LossGroups, LossGroupsParams } from '../../shared/protocol/engine';

export async function lossByGroup(
  analysis: Analysis,
  { reference, mechanisms }: LossGroupsParams,
  tokenizer: Tokenizer,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<LossGroups> {
  const { loss, predicts, written } = analysis;
  if (typeof predicts === 'object') throw new RefusedError(predicts.none);
  if (!loss || loss.length === 0) throw new RefusedError('No token of this text is predicted from others.');
  const changes: Float32Array[] = [];
  for (const [at, one] of mechanisms.entries()) {
    const report = (fraction: number) => onProgress((at + fraction) / mechanisms.length);
    const known = analysis.results.get(one.key)?.deltaLossPerToken;
    changes.push(known ?? (await changeUnder(analysis, one, signal, report)));
  }
  const counted = reference === null ? written.ids : (await tokenizer.encode(reference, null)).ids;
  const occurrences = new Map<number, number>();
  for (const id of counted) occurrences.set(id, (occurrences.get(id) ?? 0) + 1);
  // The loss at t is that of token t + 1, which t + 1 tokens stand before.
  const frequency = (token: number) => occurrences.get(written.ids[token + 1]!) ?? 0;
  const contexts = predicts === 'next' ? contextsOf(loss.length) : [];
  return {
    referenceTokens: counted.length,
    frequency: lossGroups(frequency, FREQUENCIES, loss, changes),
    context: lossGroups(token => token + 1, contexts, loss, changes),
    effectiveContext: effectiveContext(loss, contexts),
  };
}

async function changeUnder(
  analysis: Analysis,
  setting: LossGroupsParams['mechanisms'][number],
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Float32Array> {
  const local = await runLocally(analysis, setting, signal, done => onProgress(done / 2));
  const result = await propagate(analysis, local, signal, done => onProgress((1 + done) / 2));
  return result.deltaLossPerToken!;
}
