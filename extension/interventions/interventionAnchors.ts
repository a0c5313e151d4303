import type { Intervention } from '../../shared/protocol/engine';
import type { Analysis } from '../analysis/analysis';
import type { TextChange } from '../analysis/editedText';

/** An intervention with the place in the document of its tokens, where it has any in the analysed text. */
export interface Anchored {
  intervention: Intervention;
  /** Offsets of its tokens in the document: keys, then queries. Empty: it is on no tokens of the analysed text. */
  places: Place[];
  /** Ids of both texts, to tell whether they are as they were. */
  ids: Int32Array[];
}

/** Offsets of the document as it is; null once it was edited there. */
type Place = { start: number; end: number } | null;

/** The same after an edit of the document. */
export function shifted(list: readonly Anchored[], changes: readonly TextChange[]): Anchored[] {
  const shift = (place: Place): Place => {
    if (!place) return null;
    let by = 0;
    for (const { rangeOffset, rangeLength, text } of changes) {
      if (rangeOffset + rangeLength <= place.start) by += text.length - rangeLength;
      else if (rangeOffset < place.end) return null;
    }
    return { start: place.start + by, end: place.end + by };
  };
  return list.map(one => ({ ...one, places: one.places.map(shift) }));
}

/** Where the interventions of an analysis stand in its document now. */
export function anchored(analysis: Analysis): Anchored[] {
  const list = analysis.ready?.interventions.list ?? [];
  const ids = idsOf(analysis);
  return list.map(intervention => ({
    intervention,
    ids,
    places: stretches(intervention).map(({ from, to }) => placeOf(analysis, from, to)),
  }));
}

/** The same in another analysis of the document; those whose text, head or core is gone are counted as lost. */
export function settled(
  list: readonly Anchored[],
  analysis: Analysis,
): { kept: Intervention[]; lost: number } {
  const kept = list.flatMap(one => settle(one, analysis) ?? []);
  return { kept, lost: list.length - kept.length };
}

function settle({ intervention, places, ids }: Anchored, analysis: Analysis): Intervention | null {
  const info = analysis.began?.model.cores.find(({ core }) => core === intervention.core);
  if (intervention.core !== null && !info) return null;
  if (intervention.head !== null && intervention.head >= (info?.heads ?? 0)) return null;
  const tokens = stretches(intervention);
  const now = idsOf(analysis);
  if (
    tokens.length === 0 ||
    (now.length === ids.length && now.every((some, side) => equal(some, ids[side]!)))
  )
    return intervention;
  // Tokens of a decoder's text, and of cores that read it, cannot be found again in the document.
  if (ids.length > 1 || now.length > 1) return null;
  const found = places.map(place => place && tokensAt(analysis, place));
  if (found.some(one => one === null)) return null;
  const [keys, queries] = found as { from: number; to: number }[];
  if (intervention.kind === 'edge') return { ...intervention, key: keys!.from, query: queries!.from };
  if (intervention.kind === 'span') return { ...intervention, ...keys!, queries: queries ?? null };
  return null;
}

/** Keys, then queries. */
function stretches(one: Intervention): { from: number; to: number }[] {
  if (one.kind === 'edge') return [one.key, one.query].map(token => ({ from: token, to: token + 1 }));
  if (one.kind === 'span') return [{ from: one.from, to: one.to }, ...(one.queries ? [one.queries] : [])];
  return [];
}

function placeOf(analysis: Analysis, from: number, to: number): Place {
  const first = analysis.rangeOfToken(from);
  const last = analysis.rangeOfToken(to - 1);
  if (!first || !last) return null;
  const { document } = analysis;
  return { start: document.offsetAt(first.start), end: document.offsetAt(last.end) };
}

function tokensAt(
  analysis: Analysis,
  { start, end }: NonNullable<Place>,
): { from: number; to: number } | null {
  const tokens = analysis.tokensAt(start, end);
  const first = tokens[0];
  return first === undefined ? null : { from: first, to: tokens[tokens.length - 1]! + 1 };
}

function idsOf({ began }: Analysis): Int32Array[] {
  if (!began) return [];
  return began.target ? [began.tokens.ids, began.target.tokens.ids] : [began.tokens.ids];
}

function equal(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((id, t) => id === b[t]);
}
