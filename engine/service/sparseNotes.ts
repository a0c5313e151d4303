/** What must be said beside every figure of an analysis without a dense pass. */
import { findMechanism } from '../attention/registry';
import { plainPercent } from '../../shared/numbers';
import type { FarLink, SparseAnalysis, TokenTable } from '../../shared/protocol/engine';
import { standingOf, type OwnAttention, type Standing } from '../../shared/native';
import { say } from '../../shared/sentences';

/** Links told in words. */
const LINKS = 5;

export function sparseNotes(
  sparse: SparseAnalysis,
  { ids, text }: TokenTable,
  cores: readonly OwnAttention[],
): string[] {
  const { setting, queries, links } = sparse;
  const standing = setting ? standingOf(setting, cores) : 'what-if';
  const what = setting ? findMechanism(setting.name).info.title : say('oneForEachHead');
  const token = (at: number) => JSON.stringify(text[at]);
  const found = ({ core, head, query, key, mass }: FarLink) =>
    say('farKey', core, head, query, token(query), key, token(key), plainPercent(mass));
  return [
    say(RAN[standing], what),
    seenWords(sparse, standing),
    queries < ids.length ? say('fromSample', queries, ids.length) : say('fromAllRows'),
    ...links.slice(0, LINKS).map(found),
  ];
}

const RAN = {
  'what-if': 'noDensePass',
  'native in part': 'noDensePassInPart',
  native: 'noDensePassNative',
} as const;

function seenWords({ pairs, densePairs, missed }: SparseAnalysis, standing: Standing): string {
  if (pairs === null) return say('noSetOfPairs');
  if (missed === null && standing === 'native') return say('seenOfOwn', plainPercent(pairs / densePairs));
  if (missed === null) return say('seenOfNative', plainPercent(pairs / densePairs));
  const { mean, low, high } = missed;
  return say('seenPairs', ...[pairs / densePairs, mean, low, high].map(plainPercent));
}
