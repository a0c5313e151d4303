/** The queries of a corpus that are shown: the most and the least of each head, and an even sample of all. Bounded, whatever the corpus. */
import { CRITERIA, type Criterion, type Excerpt, type Projected } from '../../shared/protocol/corpus';

/** Entries of each list, and how many of them one text may have. */
export const LISTED = 6;
export const OF_ONE_TEXT = 2;
/** Queries drawn evenly from the corpus, the same for every head: twelve for each decile. */
export const SAMPLED = 120;

/** An excerpt with its random number, which breaks ties and draws the sample. */
export interface DrawnExcerpt extends Excerpt {
  draw: number;
}

/** What one head does at one query. */
export interface HeadThere {
  values: Record<Criterion, number>;
  masses: Float32Array;
  far: { key: number; line: number; text: string; mass: number } | null;
  /** Of the sampled queries alone. */
  vectors: TokenVectors | null;
}

/** What a head makes of one token: [dim] as a query, [dim] as a key, and its output there [valueDim]. */
export type TokenVectors = Record<Projected, Float32Array>;

export interface Ranked extends HeadThere {
  excerpt: DrawnExcerpt;
}

export const PLACES = ['most', 'least'] as const;
export type Place = (typeof PLACES)[number];

/** The best entries under an order that nothing but the entries decides. */
export class RankedList {
  readonly entries: Ranked[] = [];

  constructor(
    readonly criterion: Criterion,
    readonly place: Place,
  ) {}

  /** Whether an entry of this value and draw would be listed. */
  takes(value: number, draw: number): boolean {
    const last = this.entries[LISTED - 1];
    return !last || this.before(value, draw, last.values[this.criterion], last.excerpt.draw) < 0;
  }

  add(entry: Ranked): void {
    const { criterion, entries } = this;
    if (!this.takes(entry.values[criterion], entry.excerpt.draw)) return;
    entries.push(entry);
    entries.sort((a, b) =>
      this.before(a.values[criterion], a.excerpt.draw, b.values[criterion], b.excerpt.draw),
    );
    entries.length = Math.min(entries.length, LISTED);
  }

  /** The queries of a text that could be listed, best first; `values` and `draws` by query, NaN = does not count. */
  best(values: Float32Array, draws: Float64Array): number[] {
    const found: number[] = [];
    const order = (a: number, b: number) => this.before(values[a]!, draws[a]!, values[b]!, draws[b]!);
    for (let query = 0; query < values.length; query++) {
      if (Number.isNaN(values[query]!) || !this.takes(values[query]!, draws[query]!)) continue;
      if (found.length === OF_ONE_TEXT && order(query, found.at(-1)!) > 0) continue;
      found.push(query);
      found.sort(order).splice(OF_ONE_TEXT);
    }
    return found;
  }

  private before(value: number, draw: number, otherValue: number, otherDraw: number): number {
    const by = this.place === 'most' ? otherValue - value : value - otherValue;
    return by || draw - otherDraw;
  }
}

/** The queries with the smallest draws, and what every head does there (by `core.head`). */
export class Sample {
  private readonly byDraw = new Map<number, { excerpt: DrawnExcerpt; heads: Map<string, HeadThere> }>();
  private largest = Infinity;

  takes(draw: number): boolean {
    return this.byDraw.size < SAMPLED || draw <= this.largest;
  }

  add(excerpt: DrawnExcerpt, head: string, there: HeadThere): void {
    const { draw } = excerpt;
    if (!this.takes(draw)) return;
    let known = this.byDraw.get(draw);
    if (!known) this.byDraw.set(draw, (known = { excerpt, heads: new Map() }));
    known.heads.set(head, there);
    if (this.byDraw.size > SAMPLED) this.byDraw.delete(this.largest);
    if (this.byDraw.size >= SAMPLED) this.largest = Math.max(...this.byDraw.keys());
  }

  /** In the order of the draws. */
  get entries(): { excerpt: DrawnExcerpt; heads: Map<string, HeadThere> }[] {
    return [...this.byDraw.values()].sort((a, b) => a.excerpt.draw - b.excerpt.draw);
  }

  /** What one head does at the sampled queries. */
  of(head: string): Ranked[] {
    return this.entries.flatMap(({ excerpt, heads }) => {
      const there = heads.get(head);
      return there ? [{ ...there, excerpt }] : [];
    });
  }
}

/** The lists of one head. */
export function emptyLists(): RankedList[] {
  return CRITERIA.flatMap(criterion => PLACES.map(place => new RankedList(criterion, place)));
}

/** 53 random bits for a query of a text, the same wherever and whenever it is read. */
export function drawOf(seed: readonly [number, number], query: number): number {
  const high = mix(seed[0] ^ mix(query));
  const low = mix(seed[1] ^ mix(query + 0x9e3779b9));
  return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;
}

/** The finaliser of MurmurHash3. */
function mix(value: number): number {
  let t = value >>> 0;
  t = Math.imul(t ^ (t >>> 16), 0x85ebca6b);
  t = Math.imul(t ^ (t >>> 13), 0xc2b2ae35);
  return (t ^ (t >>> 16)) >>> 0;
}
