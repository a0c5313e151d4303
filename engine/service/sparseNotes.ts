/** What must be said beside every figure of an analysis without a dense pass. */
import { findMechanism } from '../attention/registry';
import { plainPercent } from '../../shared/numbers';
import type { SparseAnalysis, TokenTable } from '../../shared/protocol/engine';

/** Links told in words. */
const LINKS = 5;

export function sparseNotes(
  { setting, queries, missed, links }: SparseAnalysis,
  { ids, text }: TokenTable,
): string[] {
  const what = setting ? findMechanism(setting.name).info.title : 'A mechanism for each head';
  const share =
    missed === null
      ? 'What runs there keeps no set of pairs, so no mass can be said to be left out.'
      : `It leaves out ${plainPercent(missed.mean)} of the mass on average (95 % interval ${plainPercent(missed.low)} to ${plainPercent(missed.high)}).`;
  const rest =
    queries < ids.length
      ? `The figures of heads come from the exact rows of ${queries} of ${ids.length} queries, drawn at random; where the others look was not seen, except for what was found by the search.`
      : 'The text is so short that the figures of heads come from the exact rows of all queries.';
  const at = (token: number) => `token ${token} (${JSON.stringify(text[token])})`;
  const found = links
    .slice(0, LINKS)
    .map(
      ({ core, head, query, key, mass }) =>
        `head ${core}.${head} looks from ${at(query)} to ${at(key)} with ${plainPercent(mass)}`,
    );
  return [
    `There was no dense pass: ${what} ran in every core, so queries, keys and the loss are those of the model with it. ${share} ${rest}`,
    ...(found.length === 0 ? [] : [`Far keys that the search found: ${found.join('; ')}.`]),
  ];
}
