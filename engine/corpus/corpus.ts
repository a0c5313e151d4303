/** All that is gathered over the texts of a corpus. What it holds does not depend on the order of the texts. */
import { told, UsageError } from '../errors';
import type { CoreInfo, Provenance, Role } from '../../shared/protocol/engine';
import type { CorpusSettings, CorpusText, Facet, Over } from '../../shared/protocol/corpus';
import { together, type Part } from './parts';
import { Distribution } from './distribution';
import { emptyLists, Sample, type RankedList } from './excerpts';

/** The name of a head in keys; `model`: the model as a whole. */
export type HeadKey = `${number}.${number}` | 'model';

export const headKey = (core: number, head: number): HeadKey => `${core}.${head}`;

export class Corpus {
  readonly texts = new Map<string, CorpusText & { hash: string }>();
  readonly sample = new Sample();
  private readonly distributions = new Map<HeadKey, Map<string, Distribution>>();
  private readonly roles = new Map<HeadKey, Map<string, number>>();
  private readonly lists = new Map<HeadKey, RankedList[]>();
  private readonly places = new Map<string, Provenance>();
  private shape: CoreInfo[] = [];
  /** Lists of texts that are not whole here. */
  parts: readonly Part[] = [];

  constructor(readonly settings: CorpusSettings) {}

  /** The cores of the model; empty until the first text. */
  get cores(): readonly CoreInfo[] {
    return this.shape;
  }

  set cores(cores: readonly CoreInfo[]) {
    this.shape = [...cores];
  }

  /** Where texts were profiled, each place once. */
  get sources(): Provenance[] {
    return sorted(this.places).map(([, source]) => source);
  }

  addSource(source: Provenance): void {
    const place = { ...source, inputs: [] };
    this.places.set(JSON.stringify(place), place);
  }

  distribution(head: HeadKey, over: Over, measure: string, facet: Facet): Distribution {
    return found(
      found(this.distributions, head, () => new Map<string, Distribution>()),
      [over, measure, facet].join('\t'),
      () => new Distribution(),
    );
  }

  addRole(head: HeadKey, role: Role, facet: Facet, texts: number): void {
    const known = found(this.roles, head, () => new Map<string, number>());
    const key = `${role}\t${facet}`;
    known.set(key, (known.get(key) ?? 0) + texts);
  }

  listsOf(head: HeadKey): RankedList[] {
    return found(this.lists, head, emptyLists);
  }

  /** Every distribution, in an order of its own. */
  *eachDistribution(): Generator<{
    head: HeadKey;
    over: Over;
    measure: string;
    facet: Facet;
    distribution: Distribution;
  }> {
    for (const head of this.headKeys()) {
      for (const [key, distribution] of sorted(this.distributions.get(head))) {
        const [over, measure, facet] = key.split('\t') as [Over, string, Facet];
        yield { head, over, measure, facet, distribution };
      }
    }
  }

  *eachRole(): Generator<{ head: HeadKey; role: Role; facet: Facet; texts: number }> {
    for (const head of this.headKeys()) {
      for (const [key, texts] of sorted(this.roles.get(head))) {
        const [role, facet] = key.split('\t') as [Role, Facet];
        yield { head, role, facet, texts };
      }
    }
  }

  /** The model as a whole, then the heads in the order of the model. */
  headKeys(): HeadKey[] {
    const heads = this.shape.flatMap(({ core, heads }) =>
      Array.from({ length: heads }, (_, head) => headKey(core, head)),
    );
    return ['model', ...heads];
  }

  /** Texts that were profiled, of a facet (`all`: all). */
  textsOf(facet: Facet): number {
    let count = 0;
    for (const text of this.texts.values()) {
      if (text.failed === null && (facet === 'all' || facetsOf(text).includes(facet))) count++;
    }
    return count;
  }

  /** @throws UsageError where the two are of different models or settings, or of the same text. */
  merge(other: Corpus): void {
    const differs = (Object.keys(this.settings) as (keyof CorpusSettings)[]).find(
      key => JSON.stringify(this.settings[key]) !== JSON.stringify(other.settings[key]),
    );
    if (differs) throw new UsageError(told`The profiles cannot be merged: they differ in ${differs}.`);
    for (const [file, text] of other.texts) {
      const known = this.texts.get(file);
      if (known?.hash === text.hash)
        throw new UsageError(told`The text ${file} is in more than one of the profiles.`);
      if (known)
        throw new UsageError(
          told`The profiles hold different texts of the same name (${file}): profile them with a --root that holds both.`,
        );
      this.texts.set(file, text);
    }
    this.parts = together([...this.parts, ...other.parts]);
    other.sources.forEach(source => this.addSource(source));
    if (this.shape.length === 0) this.shape = other.shape;
    for (const { head, over, measure, facet, distribution } of other.eachDistribution()) {
      this.distribution(head, over, measure, facet).merge(distribution);
    }
    for (const { head, role, facet, texts } of other.eachRole()) this.addRole(head, role, facet, texts);
    for (const head of other.lists.keys()) {
      const own = this.listsOf(head);
      for (const [at, { entries }] of other.listsOf(head).entries())
        entries.forEach(entry => own[at]!.add(entry));
    }
    for (const { excerpt, heads } of other.sample.entries) {
      for (const [head, there] of heads) this.sample.add(excerpt, head, there);
    }
  }
}

/** The parts of the corpus that a text counts for. Each text has one kind and one length. */
export function facetsOf({ kind, tokens }: Pick<CorpusText, 'kind' | 'tokens'>): [Facet, Facet] {
  return [`kind:${kind}`, `length:${2 ** Math.ceil(Math.log2(Math.max(1, tokens)))}`];
}

export const isKind = (facet: Facet): boolean => facet.startsWith('kind:');

function found<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function sorted<V>(map: Map<string, V> | undefined): [string, V][] {
  return [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}
