/** What views show of a corpus: distributions, roles, and excerpts by place and decile. */
import type { Role } from '../../shared/protocol/engine';
import type {
  CorpusDistribution,
  CorpusHead,
  CorpusProfile,
  HeadExcerpt,
  Projection,
} from '../../shared/protocol/corpus';
import { CRITERIA, PROJECTED } from '../../shared/protocol/corpus';
import type { Corpus, HeadKey } from './corpus';
import { headKey } from './corpus';
import type { Ranked } from './excerpts';
import { missingOf } from './parts';
import { principalComponents } from './principalComponents';
import { rolesOf, withAll } from './tables';

/** Excerpts shown of each decile. */
const OF_A_DECILE = 2;

export function profileOf(corpus: Corpus): CorpusProfile {
  const heads = new Map<HeadKey, CorpusHead>();
  for (const { core, heads: count } of corpus.cores) {
    for (let head = 0; head < count; head++) {
      const key = headKey(core, head);
      heads.set(key, {
        core,
        head,
        distributions: [],
        roles: [],
        excerpts: excerptsOf(corpus, key),
        projections: projectionsOf(corpus, key),
      });
    }
  }
  const model: CorpusDistribution[] = [];
  for (const { head, over, measure, facet, distribution } of withAll(corpus)) {
    const { count, mean, deviation, min, max, interval } = distribution;
    (heads.get(head)?.distributions ?? model).push({
      over,
      measure,
      facet,
      count,
      mean,
      deviation,
      min,
      max,
      interval: over === 'texts' ? interval : null,
      ...distribution.quantiles(),
    });
  }
  for (const { core, head, role, facet, texts, of, low, high } of rolesOf(corpus)) {
    heads
      .get(headKey(core, head))!
      .roles.push({ role: role as Role, facet, texts, of, interval: { low, high } });
  }
  return {
    settings: corpus.settings,
    cores: [...corpus.cores],
    texts: [...corpus.texts.values()]
      .sort((a, b) => (a.file < b.file ? -1 : 1))
      .map(({ hash: _, ...text }) => text),
    missing: corpus.parts.map(part => ({ texts: part.texts, of: part.of, shards: missingOf(part) })),
    heads: [...heads.values()],
    sample: corpus.sample.entries.map(({ excerpt: { draw: _, ...excerpt } }) => excerpt),
    model,
  };
}

/** Only of a head that has been seen at every token of the sample, so that all are of the same tokens. */
function projectionsOf({ sample }: Corpus, key: HeadKey): Projection[] {
  const vectors = sample.of(key).flatMap(({ vectors: own }) => own ?? []);
  if (vectors.length < sample.entries.length) return [];
  return PROJECTED.flatMap(of => {
    const found = principalComponents(vectors.map(own => own[of]));
    return found ? [{ of, ...found }] : [];
  });
}

function excerptsOf(corpus: Corpus, key: HeadKey): HeadExcerpt[] {
  const shown = (
    { excerpt: { draw: _, ...excerpt }, values, masses, far }: Ranked,
    criterion: HeadExcerpt['criterion'],
    place: HeadExcerpt['place'],
  ): HeadExcerpt => ({
    ...excerpt,
    criterion,
    place,
    value: values[criterion],
    masses: Array.from(masses, mass => Math.round(mass * 1e4) / 1e4),
    far,
  });
  const ends = corpus
    .listsOf(key)
    .flatMap(({ criterion, place, entries }) => entries.map(entry => shown(entry, criterion, place)));
  const sample = corpus.sample.of(key);
  const deciles = CRITERIA.flatMap(criterion => {
    const ranked = [...sample].sort((a, b) => a.values[criterion] - b.values[criterion]);
    return Array.from({ length: 10 }, (_, d) =>
      ranked
        .slice(Math.floor((d * ranked.length) / 10), Math.floor(((d + 1) * ranked.length) / 10))
        .sort((a, b) => a.excerpt.draw - b.excerpt.draw)
        .slice(0, OF_A_DECILE)
        .map(entry => shown(entry, criterion, d + 1)),
    ).flat();
  });
  return [...ends, ...deciles];
}
