/** What attention spends on a text, in the units that users pay in: pairs, operations, blocks that a kernel runs, cached keys. */
import { densePairs, kvHead, visibleKeys, type CoreInput } from '../attention/core';
import type { Attended } from '../attention/mechanism';
import { findMechanism } from '../attention/registry';
import type { Setting, Spending } from '../../shared/protocol/engine';

/** Queries and keys of a block that a kernel runs or skips. */
export const BLOCK = 128;

/** Bytes of a number in the cache: 16 bits. */
const CACHED_BYTES = 2;

/** Of a key and its value; `kvPart`: the part of them that one head is charged (key/value heads for each head). */
export const keyBytes = ({ dim, valueDim }: Pick<CoreInput, 'dim' | 'valueDim'>, kvPart: number): number =>
  (dim + valueDim) * CACHED_BYTES * kvPart;

/** What dense attention reads of a text with as many keys as queries. */
export function denseReads(tokens: number, causal: boolean): { blocks: number; held: number } {
  const side = Math.ceil(tokens / BLOCK);
  return { blocks: causal ? (side * (side + 1)) / 2 : side * side, held: tokens };
}

/** What the queries read of the keys: which keys, block by block, and how long each is needed. */
class Reads {
  blocks = 0;
  /** The last query that reads each key; -1 = none does. */
  readonly last: Int32Array;
  private readonly marked: Uint8Array;
  private block = 0;

  constructor(private readonly input: CoreInput) {
    this.last = new Int32Array(input.keys).fill(-1);
    this.marked = new Uint8Array(Math.ceil(input.keys / BLOCK));
  }

  /** Queries in order. */
  add(query: number, keys: Iterable<number>): void {
    const block = Math.floor(query / BLOCK);
    if (block !== this.block) this.marked.fill(0);
    this.block = block;
    for (const key of keys) {
      this.last[key] = query;
      const column = Math.floor(key / BLOCK);
      if (this.marked[column] === 1) continue;
      this.marked[column] = 1;
      this.blocks++;
    }
  }

  /** Several heads that share their keys: a key is kept as long as any of them needs it. */
  join({ last }: Reads): void {
    for (let key = 0; key < last.length; key++) this.last[key] = Math.max(this.last[key]!, last[key]!);
  }

  /**
   * The most keys that are held at once: from the query at which a key is there until the last that reads it. Without a causal
   * mask no key comes after another: all that are read.
   */
  held(): number {
    const { queries, keys, rule } = this.input;
    const shift = keys - queries;
    const change = new Int32Array(queries + 1);
    for (let key = 0; key < keys; key++) {
      if (this.last[key]! < 0) continue;
      change[rule.mask.causal ? Math.min(queries - 1, Math.max(0, key - shift)) : 0]!++;
      change[rule.mask.causal ? this.last[key]! + 1 : queries]!--;
    }
    let [now, most] = [0, 0];
    for (const step of change) most = Math.max(most, (now += step));
    return most;
  }
}

/**
 * Of every head of a core under a mechanism, and of the core dense. The cache is that of a key/value head, a part of which
 * each of its heads is charged (`kvPart`: key/value heads for each head).
 */
export function spendingOf(
  choice: Setting,
  input: CoreInput,
  attended: Attended,
  kvPart = input.kvHeads / input.heads,
): Spending[] {
  const { heads, kvHeads, dim, valueDim } = input;
  const dense = densely(input);
  const perKey = keyBytes(input, kvPart);
  const all = densePairs(input);
  const groups = Array.from({ length: kvHeads }, () => new Reads(input));
  const reads = Array.from({ length: heads }, (_, head) => {
    const own = readBy(input, attended, head);
    groups[kvHead(input, head)]!.join(own);
    return own;
  });
  return reads.map(({ blocks }, head) => ({
    pairs: { own: attended.pairs[head]!, dense: all },
    flops: {
      own: 2 * attended.pairs[head]! * (dim + valueDim) + choosing(choice, input),
      dense: 2 * all * (dim + valueDim),
    },
    blocks: { own: blocks, dense: dense.blocks },
    kv: { own: groups[kvHead(input, head)]!.held() * perKey, dense: dense.held * perKey },
  }));
}

/** Blocks that one head reads, and the most keys that are held for it. */
export function readsOf(input: CoreInput, attended: Attended, head: number): ReturnType<typeof denseReads> {
  const reads = readBy(input, attended, head);
  return { blocks: reads.blocks, held: reads.held() };
}

function readBy(input: CoreInput, attended: Attended, head: number): Reads {
  const reads = new Reads(input);
  for (let query = 0; query < input.queries; query++) reads.add(query, attended.row(head, query).keys);
  return reads;
}

/** Of several heads or texts together. */
export function totalSpending(list: readonly Spending[]): Spending {
  const units = ['pairs', 'flops', 'blocks', 'kv'] as const;
  const sum = (unit: (typeof units)[number], side: 'own' | 'dense') =>
    list.reduce((total, one) => total + one[unit][side], 0);
  return Object.fromEntries(
    units.map(unit => [unit, { own: sum(unit, 'own'), dense: sum(unit, 'dense') }]),
  ) as unknown as Spending;
}

/** Operations of one head beyond those of its pairs: hashing, ranking, scoring rows that vote. */
function choosing({ name, params }: Setting, input: CoreInput): number {
  const { dim, valueDim, heads, keys, rule } = input;
  const shape = { dim, valueDim, causal: rule.mask.causal, layerHeads: heads };
  const cost = findMechanism(name).cost?.(keys, params, shape);
  return cost ? Math.max(0, cost.flops - 2 * cost.pairs * (dim + valueDim)) : 0;
}

function densely(input: CoreInput): { blocks: number; held: number } {
  const reads = new Reads(input);
  for (let query = 0; query < input.queries; query++) {
    const { from, to } = visibleKeys(input, query);
    reads.add(query, between(from, to));
  }
  return { blocks: reads.blocks, held: reads.held() };
}

function* between(from: number, to: number): Generator<number> {
  for (let key = from; key < to; key++) yield key;
}
