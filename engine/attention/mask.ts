/** Which pairs a head attends to, in a form that other programs can compute: a rule, or tables of one text. */

/**
 * Pairs that follow from positions alone; query i stands at position i + keys - queries. What the model's own mask hides
 * stays hidden.
 */
export type PairRule =
  | { any: readonly PairRule[] }
  | { all: readonly PairRule[] }
  /** Keys at most this far before and after. */
  | { near: number }
  /** Keys at multiples of this distance. */
  | { every: number }
  /** Keys of the query's own stretch, when the text is cut into stretches of so many tokens. */
  | { block: number }
  /** The last `tail` keys of every stretch of `of` tokens. */
  | { tail: number; of: number }
  /** The first keys of the text. */
  | { first: number }
  /** These keys, whatever the query. */
  | { keys: readonly number[] }
  /** All keys, for queries at these positions. */
  | { queries: readonly number[] };

export function holds(rule: PairRule, position: number, key: number): boolean {
  if ('any' in rule) return rule.any.some(part => holds(part, position, key));
  if ('all' in rule) return rule.all.every(part => holds(part, position, key));
  if ('near' in rule) return Math.abs(position - key) <= rule.near;
  if ('every' in rule) return (position - key) % rule.every === 0;
  if ('block' in rule) return Math.floor(position / rule.block) === Math.floor(key / rule.block);
  if ('tail' in rule) return key % rule.of >= rule.of - rule.tail;
  if ('first' in rule) return key < rule.first;
  return 'keys' in rule ? rule.keys.includes(key) : rule.queries.includes(position);
}

export type HeadMask =
  | { kind: 'dense' }
  | { kind: 'rule'; rule: PairRule }
  /** Weights clamp((ramp + span - distance) / ramp, 0, 1) on the exponentiated scores. */
  | { kind: 'soft'; span: number; ramp: number }
  /** `seen` [blocks x blocks]: 1 = the queries of the row see the keys of the column. */
  | { kind: 'blocks'; block: number; seen: Uint8Array }
  | { kind: 'lines'; columns: readonly number[]; diagonals: readonly number[] }
  | RingMask
  /** `queries` and `keys` [tokens x words]: a bit for each cluster that holds the token; seen where two share one. */
  | { kind: 'clusters'; words: number; queries: Int32Array; keys: Int32Array; averaged: boolean }
  /** [queries x ceil(keys / 8)]: a bit per pair, the lowest first. */
  | { kind: 'pairs'; bits: Uint8Array }
  /** No mask can say it; why, as half a sentence. */
  | { kind: 'none'; reason: string };

/**
 * Sorted hashing: key j lies at `places[r][j]` of a ring of all rounds; a query of round r sees the places first .. end-1 and those from
 * `wrap` on. With `buckets` only keys of its own bucket in its own round.
 */
export interface RingMask {
  kind: 'ring';
  rounds: number;
  /** [rounds x keys] */
  places: Int32Array;
  /** [rounds x queries] */
  first: Int32Array;
  end: Int32Array;
  wrap: Int32Array;
  /** [rounds x queries] and [rounds x keys], or null when any bucket may be seen. */
  buckets: { queries: Int32Array; keys: Int32Array } | null;
}

/** Made from the text that was analysed: on another text the tables would be others. */
export function ofOneText({ kind }: HeadMask): boolean {
  return kind === 'lines' || kind === 'ring' || kind === 'clusters' || kind === 'pairs';
}

/** Holds for texts of the analysed length only: those of one text, and blocks that are counted from the end. */
export function ofOneLength(mask: HeadMask): boolean {
  return ofOneText(mask) || mask.kind === 'blocks';
}
