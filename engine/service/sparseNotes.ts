/** What must be said beside every figure of an analysis without a dense pass. */
import { findMechanism } from '../attention/registry';
import { plainPercent } from '../../shared/numbers';
import type { FarLink, SparseAnalysis, TokenTable } from '../../shared/protocol/engine';
import { say } from '../../shared/sentences';

/** Links told in words. */
const LINKS = 5;

export function sparseNotes(sparse: SparseAnalysis, { ids, text }: TokenTable): string[] {
  const { setting, queries, links } = sparse;
  const what = setting ? findMechanism(setting.name).info.title : say('oneForEachHead');
  const token = (at: number) => JSON.stringify(text[at]);
  const found = ({ core, head, query, key, mass }: FarLink) =>
    say('farKey', core, head, query, token(query), key, token(key), plainPercent(mass));
  return [
    say('noDensePass', what),
    seenWords(sparse),
    queries < ids.length ? say('fromSample', queries, ids.length) : say('fromAllRows'),
    ...links.slice(0, LINKS).map(found),
  ];
}

function seenWords({ pairs, densePairs, missed }: SparseAnalysis): string {
  if (pairs === null) return say('noSetOfPairs');
  if (missed === null) return say('seenOfNative', plainPercent(pairs / densePairs));
  const { mean, low, high } = missed;
  return say('seenPairs', ...[pairs / densePairs, mean, low, high].map(plainPercent));
}
