/** What one analysed text adds to a corpus. Nothing is added before the whole text has gone well. */
import { createHash } from 'node:crypto';
import { hashOf } from '../hash';
import type { CoreInput } from '../attention/core';
import { denseRow } from '../attention/kernels/lines';
import type { PerQuery } from '../measure/perQuery';
import {
  sidesOf,
  type AnalysisSummary,
  type CoreInfo,
  type HeadProfile,
  type MechanismResult,
  type TokenTable,
} from '../../shared/protocol/engine';
import { describeSetting } from '../../shared/setting';
import { CRITERIA, QUERY_MEASURES, type CorpusText, type Criterion } from '../../shared/protocol/corpus';
import { facetsOf, headKey, type Corpus, type HeadKey } from './corpus';
import { drawOf, type DrawnExcerpt, type HeadThere, type TokenVectors } from './excerpts';

/** Tokens of context before and behind a query, and around its far key. */
const BEFORE = 32;
const BEHIND = 8;
const AROUND_KEY = 4;

/** Single queries of one head: those for each of its lists, those of the sample, and what it does at them. */
interface Looked {
  key: HeadKey;
  listed: number[][];
  drawn: number[];
  there: Map<number, HeadThere>;
}

export class TextGathering {
  readonly hash: string;
  private readonly seed: [number, number];
  private readonly lineEnds: number[] = [];
  private readonly gathered: { info: CoreInfo; queries: PerQuery }[] = [];
  private readonly looked: Looked[] = [];
  private readonly excerpts = new Map<number, DrawnExcerpt>();
  private tokens: TokenTable | null = null;
  private draws = new Float64Array(0);

  constructor(
    private readonly corpus: Corpus,
    private readonly file: string,
    private readonly kind: string,
    private readonly text: string,
  ) {
    this.hash = hashOf(text);
    const digest = createHash('sha256').update(`${file}\0${this.hash}`).digest();
    this.seed = [digest.readUInt32LE(0), digest.readUInt32LE(4)];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.lineEnds.push(at);
  }

  onTokens(tokens: TokenTable): void {
    this.tokens = tokens;
    this.draws = Float64Array.from(tokens.ids, (_, query) => drawOf(this.seed, query));
  }

  /** Looks up single queries while the core's tensors are at hand. */
  onQueries(info: CoreInfo, input: CoreInput, queries: PerQuery): void {
    this.gathered.push({ info, queries });
    const sides = sidesOf(info.kind);
    if (sides.queries !== 'text' || sides.keys !== 'text') return;
    const { sample } = this.corpus;
    const drawn = [...this.draws.keys()].filter(query => sample.takes(this.draws[query]!));
    for (let head = 0; head < input.heads; head++) {
      const key = headKey(info.core, head);
      const listed = this.corpus
        .listsOf(key)
        .map(list => list.best(rankable(queries, head, input.queries, list.criterion), this.draws));
      const there = new Map<number, HeadThere>();
      for (const query of new Set([...drawn, ...listed.flat()])) {
        there.set(query, this.look(input, queries, head, query, sample.takes(this.draws[query]!)));
      }
      this.looked.push({ key, listed, drawn, there });
    }
  }

  /** Adds the finished text. */
  commit(summary: AnalysisSummary): CorpusText {
    const { corpus } = this;
    corpus.cores = summary.cores.map(({ info }) => info);
    if (summary.provenance) corpus.addSource(summary.provenance);
    const text: CorpusText = {
      file: this.file,
      kind: this.kind,
      tokens: summary.tokens.ids.length,
      loss: summary.loss?.mean ?? null,
      failed: null,
    };
    const facets = facetsOf(text);
    const overTexts = (head: HeadKey, measure: string, value: number | null | undefined) => {
      if (value === null || value === undefined) return;
      for (const facet of facets) corpus.distribution(head, 'texts', measure, facet).add([value]);
    };
    for (const { info, queries } of this.gathered) this.addQueries(info, queries, facets);
    for (const { heads } of summary.cores) {
      for (const profile of heads) {
        const key = headKey(profile.core, profile.head);
        for (const [measure, value] of textMeasures(profile)) overTexts(key, measure, value);
        for (const { role } of profile.roles) {
          for (const facet of facets) corpus.addRole(key, role, facet, 1);
        }
      }
    }
    overTexts('model', 'loss', text.loss);
    for (const result of summary.mechanisms) {
      const name = describeSetting(result.setting);
      for (const [measure, value] of modelMeasures(result)) overTexts('model', `${measure}: ${name}`, value);
      for (const { core, head, recall, outputError, pairs, densePairs } of result.heads) {
        const key = headKey(core, head);
        overTexts(key, `recall: ${name}`, recall);
        overTexts(key, `outputError: ${name}`, outputError);
        overTexts(key, `pairs: ${name}`, densePairs === 0 ? null : pairs / densePairs);
      }
    }
    this.addExcerpts();
    corpus.texts.set(this.file, { ...text, hash: this.hash });
    return text;
  }

  private addQueries(info: CoreInfo, { values }: PerQuery, facets: readonly string[]): void {
    for (let head = 0; head < info.heads; head++) {
      for (const measure of QUERY_MEASURES) {
        const all = values[measure];
        const length = all.length / info.heads;
        const own = all.subarray(head * length, (head + 1) * length);
        for (const facet of facets) {
          this.corpus.distribution(headKey(info.core, head), 'queries', measure, facet).add(own);
        }
      }
    }
  }

  private addExcerpts(): void {
    for (const { key, listed, drawn, there } of this.looked) {
      const lists = this.corpus.listsOf(key);
      for (const [at, queries] of listed.entries()) {
        for (const query of queries) lists[at]!.add({ ...there.get(query)!, excerpt: this.excerpt(query) });
      }
      for (const query of drawn) this.corpus.sample.add(this.excerpt(query), key, there.get(query)!);
    }
  }

  private look(
    input: CoreInput,
    queries: PerQuery,
    head: number,
    query: number,
    sampled: boolean,
  ): HeadThere {
    const row = denseRow(input, head, query);
    const at = head * input.queries + query;
    const { from, to } = this.window(query);
    const key = queries.farKey[at]!;
    const entries = CRITERIA.map(criterion => [criterion, queries.values[criterion][at]!]);
    return {
      values: Object.fromEntries(entries) as HeadThere['values'],
      masses: row.slice(from, to),
      far:
        key < 0
          ? null
          : {
              key,
              line: this.lineOf(this.tokens!.start[key]!),
              text: this.pieces(key - AROUND_KEY, key + AROUND_KEY + 1).join(''),
              mass: row[key]!,
            },
      vectors: sampled ? vectorsOf(input, head, query, row) : null,
    };
  }

  private window(query: number): { from: number; to: number } {
    return {
      from: Math.max(0, query - BEFORE),
      to: Math.min(this.tokens!.ids.length, query + BEHIND + 1),
    };
  }

  private excerpt(query: number): DrawnExcerpt {
    let known = this.excerpts.get(query);
    if (known) return known;
    const { start, end } = this.tokens!;
    const { from, to } = this.window(query);
    known = {
      draw: this.draws[query]!,
      file: this.file,
      line: this.lineOf(start[query]!),
      query,
      start: start[query]!,
      end: end[query]!,
      tokens: this.pieces(from, to),
      at: query - from,
    };
    this.excerpts.set(query, known);
    return known;
  }

  /** Tokens as the text has them, with what stands before each of them. */
  private pieces(from: number, to: number): string[] {
    const { start, end, text, special, ids } = this.tokens!;
    const pieces: string[] = [];
    for (let t = Math.max(0, from); t < Math.min(ids.length, to); t++) {
      const before = t > 0 && !special[t - 1] ? Math.min(end[t - 1]!, start[t]!) : start[t]!;
      pieces.push(special[t] ? text[t]! : this.text.slice(before, end[t]!));
    }
    return pieces;
  }

  /** From 1. */
  private lineOf(offset: number): number {
    let [low, high] = [0, this.lineEnds.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lineEnds[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  }
}

/** `row`: the query's probabilities. */
function vectorsOf(
  { heads, kvHeads, queries, keys, dim, valueDim, q, k, v, native }: CoreInput,
  head: number,
  query: number,
  row: Float32Array,
): TokenVectors {
  const kvHead = Math.floor((head * kvHeads) / heads);
  const slice = (values: Float32Array, at: number, size: number) => values.slice(at * size, (at + 1) * size);
  const at = head * queries + query;
  // With more keys than queries the queries are the last ones.
  const key = slice(k, kvHead * keys + keys - queries + query, dim);
  const output = native ? slice(native.attended.output, at, valueDim) : new Float32Array(valueDim);
  for (let t = 0; !native && t < keys; t++) {
    if (row[t] === 0) continue;
    for (let d = 0; d < valueDim; d++) output[d]! += row[t]! * v[(kvHead * keys + t) * valueDim + d]!;
  }
  return { query: slice(q, at, dim), key, output };
}

/** A head's values by query, NaN where there is nothing to rank: queries without a far key are no example of a small far mass. */
function rankable(
  { values, farKey }: PerQuery,
  head: number,
  count: number,
  criterion: Criterion,
): Float32Array {
  const own = values[criterion].slice(head * count, (head + 1) * count);
  if (criterion === 'farMass') {
    for (let query = 0; query < count; query++) if (farKey[head * count + query]! < 0) own[query] = NaN;
  }
  return own;
}

function textMeasures(profile: HeadProfile): [string, number | undefined][] {
  const { entropy, relativeEntropy, meanDistance, span90, span95, span99, to } = profile;
  return Object.entries({ entropy, relativeEntropy, meanDistance, span90, span95, span99, ...to });
}

function modelMeasures({
  recall,
  outputError,
  deltaLoss,
  deltaOutput,
  embedding,
}: MechanismResult): [string, number | null][] {
  return [
    ['recall', recall],
    ['outputError', outputError],
    ['lossChange', deltaLoss],
    ['outputChange', deltaOutput],
    ['embeddingChange', embedding ? 1 - embedding.cosine : null],
  ];
}
