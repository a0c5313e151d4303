import type { BiasRule, MaskRule } from '../../attention/core';
import { windowWords, type ProbedRule } from './probe';
import { HIDDEN_BELOW, NOTHING } from './chain';
import {
  agrees,
  blocksOf,
  headScores,
  largestOf,
  randomScores,
  sameRow,
  type Rows,
  type RowSource,
} from './rowsAgree';
import { rowsToCheck } from './rowsToCheck';

/**
 * The rule at this length: `known` (the likeliest first) where the model's own chain agrees with one of them at all rows
 * named, else one that is read from the chain's first and last row and checked at the others, else the chain itself
 * (opaque). Null where not even that is understood.
 */
export async function ruleAtLength(
  source: RowSource,
  known: readonly ProbedRule[],
  rows: Rows,
): Promise<ProbedRule | null> {
  for (const rule of known) if (!rule.opaque && (await agrees(source, rule, rows))) return rule;
  const first = known[0]!;
  const read = source.content ? null : await relativeRule(source, first);
  if (read && (await agrees(source, read, rows))) return read;
  const chunks = source.content ? null : await chunkRule(source, first);
  if (chunks && (await agrees(source, chunks, withBorders(chunks, source, rows)))) return chunks;
  const streaming = source.content ? null : await streamingRule(source, first);
  if (streaming && (await agrees(source, streaming, rows))) return streaming;
  return opaqueRule(source, known.find(rule => rule.opaque) ?? first, rows);
}

// ---------------------------------------------------------------- reading

/**
 * A rule in which only the offset of key and query counts, read from the first row (keys after) and the last (keys before):
 * any window, one window per head, any bias by distance.
 */
async function relativeRule(source: RowSource, first: ProbedRule): Promise<ProbedRule | null> {
  const { heads, queries, keys } = source;
  if (queries > keys || queries < 2) return null;
  const ends = Int32Array.of(0, queries - 1);
  const { planes, data } = await source.rows(ends, 0);
  const size = keys + queries - 1;
  const start = 1 - keys;
  const table = new Float32Array(heads * size);
  for (let h = 0; h < heads; h++) {
    const at = (planes === 1 ? 0 : h) * 2 * keys;
    const rowOf = (r: number) => data.subarray(at + r * keys, at + (r + 1) * keys);
    const diagonal = [rowOf(0)[keys - queries]!, rowOf(1)[keys - 1]!] as const;
    for (const [r, row] of [rowOf(0), rowOf(1)].entries()) {
      const max = largestOf(row);
      if (!(max > NOTHING) || !(diagonal[r]! >= max - HIDDEN_BELOW)) return null;
      // Where a row's values are shifted (slope x key), only differences along it count.
      const shift = diagonal[0] === diagonal[1] ? 0 : diagonal[r]!;
      const position = r === 0 ? keys - queries : keys - 1;
      // The last row speaks of keys before the query, the first of those after.
      for (let j = r === 0 ? position : 0; j < keys; j++)
        table[h * size + j - position - start] = row[j]! >= max - HIDDEN_BELOW ? row[j]! - shift : -Infinity;
    }
  }
  return simplest(first, { heads, size, first: start, table });
}

/**
 * Attention in chunks: the first key that a row sees stays for a while. Its first step is sought, and is their size; within
 * the first chunk only the offset counts, as in a text of that length.
 */
async function chunkRule(source: RowSource, first: ProbedRule): Promise<ProbedRule | null> {
  const { queries, keys } = source;
  if (queries !== keys) return null;
  const startOf = async (row: number) => {
    const values = (await source.rows(Int32Array.of(row), 0)).data.subarray(0, keys);
    const seen = largestOf(values) - HIDDEN_BELOW;
    return values.findIndex(value => value >= seen);
  };
  let [below, chunk] = [0, queries - 1];
  if ((await startOf(below)) !== 0 || (await startOf(chunk)) <= 0) return null;
  while (chunk - below > 1) {
    const middle = (below + chunk) >> 1;
    if ((await startOf(middle)) === 0) below = middle;
    else chunk = middle;
  }
  const inChunk = async (rows: Int32Array) => {
    const { planes, data } = await source.rows(rows, 0);
    const own = new Float32Array(planes * rows.length * chunk);
    for (let r = 0; r < planes * rows.length; r++)
      own.set(data.subarray(r * keys, r * keys + chunk), r * chunk);
    return { planes, data: own };
  };
  const within = await relativeRule({ ...source, queries: chunk, keys: chunk, rows: inChunk }, first);
  if (!within) return null;
  const [direction, ...rest] = within.description.split(', ');
  const description = [direction, `chunks of ${chunk}`, ...rest].join(', ');
  return { ...within, mask: { ...within.mask, chunk }, description };
}

/** A window and the first tokens of the text: what the last row sees before its hidden keys, and around a row in the middle. */
async function streamingRule(source: RowSource, first: ProbedRule): Promise<ProbedRule | null> {
  const { queries, keys } = source;
  if (queries !== keys || queries < 8) return null;
  const seenBy = async (row: number) => {
    const values = (await source.rows(Int32Array.of(row), 0)).data.subarray(0, keys);
    const hidden = largestOf(values) - HIDDEN_BELOW;
    return (key: number) => values[key]! >= hidden;
  };
  const last = keys - 1;
  const [byLast, byFirst] = [await seenBy(last), await seenBy(0)];
  let [start, before, after] = [0, 0, 0];
  while (start < last && byLast(start)) start++;
  while (before < last && byLast(last - before - 1)) before++;
  if (start === 0 || start + before >= last) return null;
  // The first key that row 0 sees beyond the first tokens; a causal row sees none of them.
  const causal = !byFirst(1);
  const middle = (start + last) >> 1;
  const byMiddle = await seenBy(middle);
  while (!causal && middle + after < last && byMiddle(middle + after + 1)) after++;
  const near = causal ? `window ${before + 1}` : `window ${before} before, ${after} after`;
  const words = [
    causal ? 'causal' : 'full',
    `${near} and first ${start === 1 ? 'token' : `${start} tokens`}`,
  ];
  if (first.softCap !== null) words.push(`soft cap ${Number(first.softCap.toPrecision(6))}`);
  const mask: MaskRule = { causal, window: null, streaming: { first: start, before, after } };
  return { ...first, mask, bias: null, opaque: false, description: words.join(', ') };
}

/** The rows, and those at the borders of the rule's chunks. */
function withBorders({ mask }: ProbedRule, { queries }: RowSource, { some, all }: Rows): Rows {
  const borders = rowsToCheck(queries, [mask.chunk!], [], 0, 0);
  return { some: Int32Array.from(new Set([...some, ...borders])).sort(), all };
}

interface OffsetTable {
  heads: number;
  size: number;
  first: number;
  /** Hidden offsets are -Infinity. */
  table: Float32Array;
}

/** A table of offsets as a mask and what is left as a bias, each of the plainest kind that says the same. */
function simplest(rule: ProbedRule, offsets: OffsetTable): ProbedRule {
  const { heads, size, first, table } = offsets;
  const reach = Array.from({ length: heads }, (_, h) => reachOf(table.subarray(h * size, (h + 1) * size)));
  const [low, high] = reach[0]!;
  const alike = reach.every(([a, b, whole]) => a === low && b === high && whole);
  const causal = reach.every(([, b]) => b + first <= 0);
  const words = [causal ? 'causal' : 'full'];
  let mask: MaskRule = { causal, window: null };
  let bias: BiasRule | null = { kind: 'relative', table, size, first };
  if (alike) {
    const before = low > 0 ? -(low + first) : null;
    const after = !causal && high < size - 1 ? high + first : null;
    if (before !== null || after !== null) {
      const wide = Number.MAX_SAFE_INTEGER;
      mask = { causal, window: { before: before ?? wide, after: causal ? 0 : (after ?? wide) } };
      words.push(`window ${windowWords(mask)}`);
    }
    bias = plainest(offsets, low, high);
  } else {
    const spans = reach.map(([a]) => 1 - (a + first));
    const contiguous = reach.every(([, , whole]) => whole);
    words.push(
      contiguous && causal
        ? `windows of ${Math.min(...spans)} to ${Math.max(...spans)} by head`
        : 'pattern by distance',
    );
  }
  const finite = alike ? bias : finiteBias(table);
  if (finite) words.push(finite.kind === 'alibi' ? 'ALiBi' : 'relative bias');
  if (rule.softCap !== null) words.push(`soft cap ${Number(rule.softCap.toPrecision(6))}`);
  return { ...rule, mask, bias, opaque: false, description: words.join(', ') };
}

/** First and last visible entry, and whether all between are visible. */
function reachOf(row: Float32Array): [low: number, high: number, whole: boolean] {
  let low = 0;
  let high = row.length - 1;
  while (low < high && row[low] === -Infinity) low++;
  while (high > low && row[high] === -Infinity) high--;
  return [low, high, !row.subarray(low, high + 1).includes(-Infinity)];
}

/** Null when a pattern has no bias beside its hidden offsets. */
function finiteBias(table: Float32Array): BiasRule | null {
  const values = new Set(table);
  values.delete(-Infinity);
  return values.size > 1 ? { kind: 'relative', table, size: table.length, first: 0 } : null;
}

/** No bias, a slope, or the table with its hidden ends filled by their neighbours. */
function plainest({ heads, size, first, table }: OffsetTable, low: number, high: number): BiasRule | null {
  const slopes = new Float32Array(heads);
  let linear = true;
  for (let h = 0; h < heads; h++) {
    const row = table.subarray(h * size, (h + 1) * size);
    slopes[h] = high > low ? (row[high]! - row[low]!) / (high - low) : 0;
    for (let t = low; t <= high; t++) {
      const drift = row[t]! - row[low]! - slopes[h]! * (t - low);
      if (Math.abs(drift) > 1e-5 + 1e-6 * Math.abs(row[t]! - row[low]!)) linear = false;
    }
  }
  if (linear) return slopes.every(s => s === 0) ? null : { kind: 'alibi', slopes };
  for (let h = 0; h < heads; h++) {
    const row = table.subarray(h * size, (h + 1) * size);
    row.fill(row[low]!, 0, low);
    row.fill(row[high]!, high + 1);
  }
  return { kind: 'relative', table, size, first };
}

// ---------------------------------------------------------------- what no rule says

/** The chain's own values are the bias; scale and cap must be the rule's, and no key that a causal rule hides may be seen. */
async function opaqueRule(source: RowSource, rule: ProbedRule, rows: Rows): Promise<ProbedRule | null> {
  const { heads, keys, queries } = source;
  const own = new Float64Array(keys);
  const evenScale = rule.scale.every(s => s === rule.scale[0]);
  let causal = rule.mask.causal;
  const pattern = randomScores(source, rule, rows);
  const base = headScores(source, rule, pattern, evenScale);
  for (const block of blocksOf(source, rows)) {
    const [bare, truth] = [await source.rows(block, 0), await source.rows(block, pattern)];
    const planes = Math.max(bare.planes, truth.planes);
    if (planes === 1 && !evenScale) return null;
    for (let h = 0; h < (planes === 1 ? 1 : heads); h++)
      for (let r = 0; r < block.length; r++) {
        const at = (plane: number) => ((plane === 1 ? 0 : h) * block.length + r) * keys;
        const [zero, row] = [at(bare.planes), at(truth.planes)];
        const { values, start, factor } = base[base.length === 1 ? 0 : h]!;
        const given = start + (block[r]! % pattern.rows) * keys;
        const seen = block[r]! + keys - queries + 1;
        let max = -Infinity;
        for (let j = 0; j < keys; j++) {
          const value = bare.data[zero + j]!;
          own[j] = value > NOTHING ? value + values[given + j]! * factor : -Infinity;
          if (own[j]! > max) max = own[j]!;
          if (value > NOTHING && j >= seen) causal = false;
        }
        const all = { from: 0, to: keys, max };
        if (!sameRow(own, all, truth.data.subarray(row, row + keys), source)) return null;
      }
  }
  const description = `${causal ? 'causal' : 'full'}, bias computed by the model's graph`;
  return { ...rule, mask: { causal, window: null }, bias: null, opaque: true, description };
}
