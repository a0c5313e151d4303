/** A profile as the Corpus view reads it: heads by measure, parts of the corpus, and what differs between kinds. */
import type { CorpusDistribution, CorpusHead, CorpusProfile } from '../../shared/protocol/corpus';
import { number, signed } from '../../shared/numbers';
import { interval as range } from './amounts';
import { spelled } from './corpusNames';
import { t } from '../host/words';

/** A measure with what it is over: spans of queries are not spans of texts. */
export interface MeasureChoice {
  key: string;
  label: string;
}

const keyOf = ({ over, measure }: Pick<CorpusDistribution, 'over' | 'measure'>) => `${over} ${measure}`;

/** Every measure of the heads, queries first. */
export function measuresOf({ heads }: CorpusProfile): MeasureChoice[] {
  const found = new Map<string, MeasureChoice>();
  for (const { distributions } of heads) {
    for (const each of distributions) {
      const key = keyOf(each);
      if (!found.has(key)) found.set(key, { key, label: spelled(each.measure, each.over) });
    }
  }
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The loss of the model over texts, and what mechanisms in every core change of it: a sentence each. */
export function lossesOf({ model }: CorpusProfile): string[] {
  return model
    .filter(({ over, facet }) => over === 'texts' && facet === 'all')
    .flatMap(({ measure, mean, interval }) => {
      const [what, mechanism] = measure.split(': ');
      if (what === 'loss') return [t('Loss: {0} nats per token, mean over texts', number(mean))];
      if (what !== 'lossChange') return [];
      const between = interval ? ` (95 %: ${range(interval)})` : '';
      return [t('{0}: {1} nats per token{2}', mechanism ?? '', signed(mean), between)];
    });
}

/** The parts of the corpus: all, kinds, lengths. */
export function facetsOf({ heads }: CorpusProfile): string[] {
  const facets = new Set(heads.flatMap(({ distributions }) => distributions.map(({ facet }) => facet)));
  const rank = (facet: string) => (facet === 'all' ? 0 : facet.startsWith('kind:') ? 1 : 2);
  const size = (facet: string) => Number(facet.split(':')[1]) || 0;
  return [...facets].sort((a, b) => rank(a) - rank(b) || size(a) - size(b) || (a < b ? -1 : 1));
}

export function facetName(facet: string): string {
  const [part, value] = facet.split(':');
  if (part === 'kind') {
    if (value === 'none') return t('no kind');
    return value === 'other' ? t('other kinds') : `.${value}`;
  }
  return part === 'length' ? t('up to {0} tokens', value ?? '') : t('all texts');
}

export function distributionOf(head: CorpusHead, key: string, facet: string): CorpusDistribution | null {
  return head.distributions.find(each => each.facet === facet && keyOf(each) === key) ?? null;
}

export interface HeadPoint {
  head: CorpusHead;
  x: number;
  y: number;
  colour: number;
}

/** The heads by the means of three measures; those that have not all three are left out. */
export function pointsOf(
  { heads }: CorpusProfile,
  { x, y, colour, facet }: Record<'x' | 'y' | 'colour' | 'facet', string>,
): HeadPoint[] {
  return heads.flatMap(head => {
    const [a, b, c] = [x, y, colour].map(key => distributionOf(head, key, facet)?.mean);
    return a === undefined || b === undefined || c === undefined ? [] : [{ head, x: a, y: b, colour: c }];
  });
}

export interface KindDifference {
  key: string;
  label: string;
  /** By kind, ascending by mean. */
  kinds: { facet: string; distribution: CorpusDistribution }[];
  /** Between the most different kinds, as a share of the spread over queries. */
  distance: number;
}

/** How a head differs between kinds of text, the most different measure first. */
export function differencesOf(head: CorpusHead, profile: CorpusProfile): KindDifference[] {
  const kinds = facetsOf(profile).filter(facet => facet.startsWith('kind:'));
  return measuresOf(profile)
    .filter(({ key }) => key.startsWith('queries '))
    .flatMap(({ key, label }) => {
      const all = distributionOf(head, key, 'all');
      const found = kinds
        .flatMap(facet => {
          const distribution = distributionOf(head, key, facet);
          return distribution ? [{ facet, distribution }] : [];
        })
        .sort((a, b) => a.distribution.mean - b.distribution.mean);
      if (!all || found.length < 2 || all.deviation === 0) return [];
      const distance = (found.at(-1)!.distribution.mean - found[0]!.distribution.mean) / all.deviation;
      return [{ key, label, kinds: found, distance }];
    })
    .sort((a, b) => b.distance - a.distance);
}
