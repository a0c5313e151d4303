/** The tables of a stored profile, and how a corpus becomes their rows and is made of them again. Documented in docs/corpus.md. */
import { shareInterval95 } from '../measure/binomial';
import type { Role } from '../../shared/protocol/engine';
import { CRITERIA, type Criterion, type Over } from '../../shared/protocol/corpus';
import { headKey, isKind, type Corpus, type HeadKey } from './corpus';
import { Distribution } from './distribution';
import type { DrawnExcerpt, HeadThere, Place, Ranked } from './excerpts';
import type { Row } from './parquet';

export const TABLES = {
  texts: {
    file: 'string',
    kind: 'string',
    tokens: 'int32',
    loss: 'double?',
    failed: 'string?',
    sha256: 'string',
  },
  measures: {
    core: 'int32?',
    layer: 'int32?',
    head: 'int32?',
    over: 'string',
    measure: 'string',
    facet: 'string',
    count: 'int64',
    mean: 'double',
    deviation: 'double',
    low: 'double?',
    high: 'double?',
    min: 'double',
    max: 'double',
    p5: 'double',
    p25: 'double',
    p50: 'double',
    p75: 'double',
    p95: 'double',
    zeros: 'int64',
    positive_bins: 'int32[]',
    positive_counts: 'int64[]',
    negative_bins: 'int32[]',
    negative_counts: 'int64[]',
    sum: 'string',
    squares: 'string',
  },
  roles: {
    core: 'int32',
    layer: 'int32',
    head: 'int32',
    role: 'string',
    facet: 'string',
    texts: 'int32',
    of: 'int32',
    low: 'double',
    high: 'double',
  },
  contexts: {
    file: 'string',
    query: 'int32',
    line: 'int32',
    start: 'int32',
    end: 'int32',
    draw: 'double',
    tokens: 'string[]',
    at: 'int32',
  },
  excerpts: {
    core: 'int32',
    head: 'int32',
    place: 'string',
    criterion: 'string?',
    rank: 'int32',
    file: 'string',
    query: 'int32',
    farMass: 'double',
    largestScore: 'double',
    outputNorm: 'double',
    masses: 'float[]',
    far_key: 'int32?',
    far_line: 'int32?',
    far_text: 'string?',
    far_key_mass: 'float?',
    query_vector: 'float[]',
    key_vector: 'float[]',
    output_vector: 'float[]',
  },
} as const;

export type TableName = keyof typeof TABLES;
export type Tables = { [T in TableName]: Row<(typeof TABLES)[T]>[] };

/** All at once. */
export function tablesOf(corpus: Corpus): Tables {
  const { measures, ...tables } = rowsOf(corpus);
  return { ...tables, measures: [...measures] };
}

/** The rows of the largest table come one by one: each has its sketch. */
export function rowsOf(
  corpus: Corpus,
): Omit<Tables, 'measures'> & { measures: Iterable<Tables['measures'][number]> } {
  const contexts = new Map<string, DrawnExcerpt>();
  const excerpts: Tables['excerpts'] = [];
  const add = (
    key: HeadKey,
    place: Place | 'sample',
    criterion: Criterion | null,
    list: readonly Ranked[],
  ) => {
    for (const [rank, { excerpt, values, masses, far, vectors }] of list.entries()) {
      contexts.set(`${excerpt.file}\0${excerpt.query}`, excerpt);
      excerpts.push({
        ...placeOf(key),
        place,
        criterion,
        rank,
        file: excerpt.file,
        query: excerpt.query,
        ...values,
        masses: Array.from(masses),
        far_key: far && far.key,
        far_line: far && far.line,
        far_text: far && far.text,
        far_key_mass: far && far.mass,
        // Of the sample alone: an entry of another list may be in it or not, as shards are cut.
        query_vector: place === 'sample' ? Array.from(vectors!.query) : [],
        key_vector: place === 'sample' ? Array.from(vectors!.key) : [],
        output_vector: place === 'sample' ? Array.from(vectors!.output) : [],
      });
    }
  };
  for (const key of corpus.headKeys()) {
    if (key === 'model') continue;
    for (const { place, criterion, entries } of corpus.listsOf(key)) add(key, place, criterion, entries);
    add(key, 'sample', null, corpus.sample.of(key));
  }
  return {
    texts: [...corpus.texts.values()]
      .sort((a, b) => (a.file < b.file ? -1 : 1))
      .map(({ hash, ...text }) => ({ ...text, sha256: hash })),
    measures: measuresOf(corpus),
    roles: rolesOf(corpus),
    contexts: [...contexts.values()]
      .sort((a, b) => a.draw - b.draw)
      .map(({ file, query, line, start, end, draw, tokens, at }) => ({
        file,
        query,
        line,
        start,
        end,
        draw,
        tokens,
        at,
      })),
    excerpts,
  };
}

/** Fills a corpus that has its cores; `all` is made of its parts. */
export function readTables(corpus: Corpus, tables: Tables): void {
  for (const { sha256, ...text } of tables.texts) corpus.texts.set(text.file, { ...text, hash: sha256 });
  for (const row of tables.measures) {
    if (row.facet === 'all') continue;
    const key = row.core === null ? 'model' : headKey(row.core, row.head!);
    const pairs = (bins: number[], counts: number[]) =>
      bins.map((bin, at): [number, number] => [bin, counts[at]!]);
    const { sum, squares, min, max, zeros } = row;
    corpus.distribution(key, row.over as Over, row.measure, row.facet).merge(
      Distribution.from({
        sum,
        squares,
        min,
        max,
        zeros,
        positive: pairs(row.positive_bins, row.positive_counts),
        negative: pairs(row.negative_bins, row.negative_counts),
      }),
    );
  }
  for (const { core, head, role, facet, texts } of tables.roles) {
    if (facet !== 'all') corpus.addRole(headKey(core, head), role as Role, facet, texts);
  }
  const contexts = new Map(tables.contexts.map(row => [`${row.file}\0${row.query}`, row]));
  for (const row of tables.excerpts) {
    const key = headKey(row.core, row.head);
    const excerpt = contexts.get(`${row.file}\0${row.query}`)!;
    const there: HeadThere = {
      values: Object.fromEntries(
        CRITERIA.map(criterion => [criterion, row[criterion]]),
      ) as HeadThere['values'],
      masses: Float32Array.from(row.masses),
      far:
        row.far_key === null
          ? null
          : { key: row.far_key, line: row.far_line!, text: row.far_text!, mass: row.far_key_mass! },
      vectors:
        row.place === 'sample'
          ? {
              query: Float32Array.from(row.query_vector),
              key: Float32Array.from(row.key_vector),
              output: Float32Array.from(row.output_vector),
            }
          : null,
    };
    if (row.place === 'sample') corpus.sample.add(excerpt, key, there);
    else {
      const list = corpus
        .listsOf(key)
        .find(one => one.place === row.place && one.criterion === row.criterion);
      list!.add({ ...there, excerpt });
    }
  }
}

function* measuresOf(corpus: Corpus): Generator<Tables['measures'][number]> {
  const layers = layersOf(corpus);
  for (const { head, over, measure, facet, distribution } of withAll(corpus)) {
    const place = head === 'model' ? null : placeOf(head);
    const { zeros, positive, negative, sum, squares, min, max } = distribution.stored();
    const interval = over === 'texts' ? distribution.interval : null;
    yield {
      core: place && place.core,
      layer: place && layers.get(place.core)!,
      head: place && place.head,
      over,
      measure,
      facet,
      count: distribution.count,
      mean: distribution.mean,
      deviation: distribution.deviation,
      low: interval && interval.low,
      high: interval && interval.high,
      min,
      max,
      ...distribution.quantiles(),
      zeros,
      positive_bins: positive.map(([bin]) => bin),
      positive_counts: positive.map(([, count]) => count),
      negative_bins: negative.map(([bin]) => bin),
      negative_counts: negative.map(([, count]) => count),
      sum,
      squares,
    };
  }
}

type Named = ReturnType<Corpus['eachDistribution']> extends Generator<infer D> ? D : never;

/** Every distribution that holds anything, and for each measure of a head that of the whole corpus. */
export function* withAll(corpus: Corpus): Generator<Named> {
  let all: Named | null = null;
  for (const part of corpus.eachDistribution()) {
    if (part.distribution.count === 0) continue;
    const same = all?.head === part.head && all.over === part.over && all.measure === part.measure;
    if (!same) {
      if (all) yield all;
      all = { ...part, facet: 'all', distribution: new Distribution() };
    }
    if (isKind(part.facet)) all!.distribution.merge(part.distribution);
    yield part;
  }
  if (all) yield all;
}

export function rolesOf(corpus: Corpus): Tables['roles'] {
  const layers = layersOf(corpus);
  const counts = new Map<string, { head: HeadKey; role: Role; facet: string; texts: number }>();
  for (const part of corpus.eachRole()) {
    counts.set(`${part.head}\t${part.role}\t${part.facet}`, part);
    if (!isKind(part.facet)) continue;
    const key = `${part.head}\t${part.role}\tall`;
    const all = counts.get(key) ?? { ...part, facet: 'all', texts: 0 };
    counts.set(key, { ...all, texts: all.texts + part.texts });
  }
  return [...counts.values()].map(({ head, role, facet, texts }) => {
    const { core, head: h } = placeOf(head);
    const of = corpus.textsOf(facet);
    return { core, layer: layers.get(core)!, head: h, role, facet, texts, of, ...shareInterval95(texts, of) };
  });
}

const layersOf = ({ cores }: Corpus) => new Map(cores.map(({ core, layer }) => [core, layer]));

function placeOf(key: HeadKey): { core: number; head: number } {
  const [core, head] = key.split('.').map(Number);
  return { core: core!, head: head! };
}
