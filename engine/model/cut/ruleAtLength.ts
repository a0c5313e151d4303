import { closedKeys, visibleKeys, type BiasRule, type CoreInput, type MaskRule } from '../../attention/core';
import type { LogitRows, ScorePattern } from './chain';
import { windowWords, type ProbedRule } from './probe';

/** What a core's chain does to the scores of chosen query rows, at one length. */
export interface RowSource {
  heads: number;
  queries: number;
  keys: number;
  /** The chain reads tensors that depend on the text: no rule of positions can replace it. */
  content: boolean;
  /** Computed in 16 bits. */
  half: boolean;
  /** Planes of scores that one evaluation takes: 1 or `heads`. */
  scorePlanes: number;
  /** Planes of what it gives: 1 or `heads`. */
  planes: number;
  /** `scores`: of every pair, or a pattern of [scorePlanes, its rows, keys]. */
  rows(rows: Int32Array, scores: number | ScorePattern): Promise<LogitRows>;
}

/** Values further than this below their row's largest are hidden, by a mask or for all that a softmax can see. */
const HIDDEN_BELOW = 5000;
/** Rows whose largest value is not above this see nothing. */
const NOTHING = -9990;
/** Random scores reach so far after the scale. */
const SPREAD = 4;
/** Logits may differ by this, and by this share of their size (rounding of float32 and of 16 bits). */
const TOLERANCE = { float: [1e-5, 1e-6], half: [5e-3, 5e-3] } as const;
/** Pairs, times planes, of one evaluation: few enough to stay in the processor's cache. */
const BLOCK = 2 ** 17;

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

// ---------------------------------------------------------------- comparing

/** Rows to compare: those where rules are likely to change, and all of them where that costs little. */
export interface Rows {
  some: Int32Array;
  all: boolean;
}

/** Whether the chain gives, at these rows, what the rule says, up to a constant per row. */
export async function agrees(source: RowSource, rule: ProbedRule, rows: Rows): Promise<boolean> {
  const { heads, keys, half } = source;
  const input = { ...source, kvHeads: heads, rule } as unknown as CoreInput;
  const evenScale = rule.scale.every(s => s === rule.scale[0]);
  const pattern = randomScores(source, rule, rows);
  const base = scaledScores(source, rule, pattern, evenScale);
  const own = new Float64Array(keys);
  for (const block of blocksOf(source, rows)) {
    const truth = await source.rows(block, pattern);
    if (truth.planes === 1 && !evenScale) return false;
    const planes = truth.planes === 1 && rule.bias === null ? 1 : heads;
    for (let h = 0; h < planes; h++) {
      const scores = base[base.length === 1 ? 0 : h]!;
      for (let r = 0; r < block.length; r++) {
        const at = ((truth.planes === 1 ? 0 : h) * block.length + r) * keys;
        const row = block[r]!;
        const logits = truth.data.subarray(at, at + keys);
        const start = (row % pattern.rows) * keys;
        const same =
          rule.bias === null && !rule.mask.streaming
            ? sameUnbiased(input, row, scores, start, logits, half)
            : sameRow(own, ownRow(input, h, row, scores, start, own), logits, half);
        if (!same) return false;
      }
    }
  }
  return true;
}

const blockRows = ({ planes, scorePlanes, keys, queries }: RowSource, { some, all }: Rows): number => {
  const affordable = Math.floor(BLOCK / (Math.max(planes, scorePlanes) * keys));
  return Math.max(1, Math.min(all ? queries : some.length, affordable));
};

/** Likely rows first: a rule that is wrong is mostly wrong there. */
function* blocksOf(source: RowSource, rows: Rows): Generator<Int32Array> {
  const step = blockRows(source, rows);
  const { some, all } = rows;
  for (let from = 0; from < some.length; from += step) yield some.subarray(from, from + step);
  for (let from = 0; all && from < source.queries; from += step)
    yield Int32Array.from({ length: Math.min(step, source.queries - from) }, (_, r) => from + r);
}

/** Uniform in [-SPREAD, SPREAD] after the scale. */
function randomScores(source: RowSource, rule: ProbedRule, wanted: Rows): ScorePattern {
  let largest = 0;
  for (const scale of rule.scale) largest = Math.max(largest, Math.abs(scale));
  const rows = blockRows(source, wanted);
  const data = new Float32Array(source.scorePlanes * rows * source.keys);
  const factor = SPREAD / (largest || 1) / 2 ** 31;
  let state = 1;
  for (let t = 0; t < data.length; t++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    data[t] = state * factor;
  }
  return { rows, data };
}

const capped = (score: number, cap: number | null): number =>
  cap === null ? score : cap * Math.tanh(score / cap);

/** The scores of each head under the rule's scale and cap, [rows, keys]; one for all where they are the same. */
function scaledScores(
  { heads, keys, scorePlanes }: RowSource,
  { scale, softCap }: ProbedRule,
  { rows, data }: ScorePattern,
  even: boolean,
): Float64Array[] {
  const size = rows * keys;
  return Array.from({ length: even && scorePlanes === 1 ? 1 : heads }, (_, h) => {
    const own = new Float64Array(size);
    const from = (scorePlanes === 1 ? 0 : h) * size;
    const factor = scale[h]!;
    for (let t = 0; t < size; t++) own[t] = data[from + t]! * factor;
    if (softCap !== null) for (let t = 0; t < size; t++) own[t] = capped(own[t]!, softCap);
    return own;
  });
}

/** The keys that a row may see, and its largest logit. */
interface Seen {
  from: number;
  to: number;
  max: number;
}

/** Logits of one row by the rule, of the keys that its mask leaves; a bias may hide more by -Infinity. */
function ownRow(
  input: CoreInput,
  head: number,
  row: number,
  scores: Float64Array,
  at: number,
  into: Float64Array,
): Seen {
  const { rule, keys, queries } = input;
  const { bias } = rule;
  const { from, to } = visibleKeys(input, row);
  const position = row + keys - queries;
  for (let j = from; j < to; j++) into[j] = scores[at + j]!;
  if (bias?.kind === 'alibi') {
    const slope = bias.slopes[head]!;
    for (let j = from; j < to; j++) into[j]! += slope * (j - position);
  } else if (bias?.kind === 'relative') {
    const { size, first, table } = bias;
    for (let j = from; j < to; j++) {
      const t = Math.max(0, Math.min(size - 1, j - position - first));
      into[j]! += table[head * size + t]!;
    }
  } else if (bias?.kind === 'opaque') {
    const start = ((bias.heads === 1 ? 0 : head) * queries + row) * keys;
    for (let j = from; j < to; j++) into[j]! += bias.data[start + j]!;
  }
  for (const closed of closedKeys(input, row)) into.fill(-Infinity, closed.from, closed.to);
  let max = -Infinity;
  for (let j = from; j < to; j++) if (into[j]! > max) max = into[j]!;
  return { from, to, max };
}

/** The same without a bias, in one pass: all keys that are seen lie one constant off, the others far below. */
function sameUnbiased(
  input: CoreInput,
  row: number,
  scores: Float64Array,
  at: number,
  truth: Float32Array,
  half: boolean,
): boolean {
  const { from, to } = visibleKeys(input, row);
  const [absolute, relative] = half ? TOLERANCE.half : TOLERANCE.float;
  if (from === to) return truth.every(value => value <= NOTHING);
  const first = truth[from]!;
  if (!(first > NOTHING)) return false;
  const offset = first - scores[at + from]!;
  // Scores reach no further than SPREAD, or than the cap.
  const tolerance = absolute + relative * (SPREAD + Math.abs(offset));
  const [low, high, hidden] = [offset - tolerance, offset + tolerance, first - HIDDEN_BELOW];
  for (let j = 0; j < from; j++) if (!(truth[j]! < hidden)) return false;
  for (let j = from; j < to; j++) {
    const difference = truth[j]! - scores[at + j]!;
    if (!(difference >= low && difference <= high)) return false;
  }
  for (let j = to; j < truth.length; j++) if (!(truth[j]! < hidden)) return false;
  return true;
}

function sameRow(own: Float64Array, { from, to, max }: Seen, truth: Float32Array, half: boolean): boolean {
  const [absolute, relative] = half ? TOLERANCE.half : TOLERANCE.float;
  const truthMax = largestOf(truth);
  // A row that sees nothing has no probabilities on either side.
  if (!(truthMax > NOTHING)) return !(max > NOTHING) && !Number.isNaN(truthMax);
  const [hidden, ownHidden] = [truthMax - HIDDEN_BELOW, max - HIDDEN_BELOW];
  for (let j = 0; j < from; j++) if (truth[j]! >= hidden) return false;
  for (let j = to; j < truth.length; j++) if (truth[j]! >= hidden) return false;
  let [low, high, size] = [Infinity, -Infinity, 0];
  for (let j = from; j < to; j++) {
    const [a, b] = [own[j]!, truth[j]!];
    if (b >= hidden) {
      if (!(a >= ownHidden)) return false;
      const difference = b - a;
      if (difference < low) low = difference;
      if (difference > high) high = difference;
      const larger = Math.max(Math.abs(a), Math.abs(b));
      if (larger > size) size = larger;
    } else if (a >= ownHidden) return false;
  }
  return high - low <= absolute + relative * size;
}

function largestOf(values: Float32Array): number {
  let largest = -Infinity;
  for (let t = 0; t < values.length; t++) {
    const value = values[t]!;
    if (value > largest) largest = value;
    else if (value !== value) return NaN;
  }
  return largest;
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
  const base = scaledScores(source, rule, pattern, evenScale);
  for (const block of blocksOf(source, rows)) {
    const [bare, truth] = [await source.rows(block, 0), await source.rows(block, pattern)];
    const planes = Math.max(bare.planes, truth.planes);
    if (planes === 1 && !evenScale) return null;
    for (let h = 0; h < (planes === 1 ? 1 : heads); h++)
      for (let r = 0; r < block.length; r++) {
        const at = (plane: number) => ((plane === 1 ? 0 : h) * block.length + r) * keys;
        const [zero, row] = [at(bare.planes), at(truth.planes)];
        const scores = base[base.length === 1 ? 0 : h]!;
        const given = (block[r]! % pattern.rows) * keys;
        const seen = block[r]! + keys - queries + 1;
        let max = -Infinity;
        for (let j = 0; j < keys; j++) {
          const value = bare.data[zero + j]!;
          own[j] = value > NOTHING ? value + scores[given + j]! : -Infinity;
          if (own[j]! > max) max = own[j]!;
          if (value > NOTHING && j >= seen) causal = false;
        }
        const all = { from: 0, to: keys, max };
        if (!sameRow(own, all, truth.data.subarray(row, row + keys), source.half)) return null;
      }
  }
  const description = `${causal ? 'causal' : 'full'}, bias computed by the model's graph`;
  return { ...rule, mask: { causal, window: null }, bias: null, opaque: true, description };
}

// ---------------------------------------------------------------- which rows

/** At most so many rows by the constants of a chain. */
const BY_CONSTANTS = 64;
const AT_RANDOM = 16;

/**
 * Rows at which a rule of positions may change: the first and last, powers of two, multiples of the chain's own constants
 * and the borders of the rule, each with its neighbours, and some at random. `share` of all rows at least.
 */
export function rowsToCheck(
  queries: number,
  constants: readonly number[],
  borders: readonly number[],
  seed: number,
  share: number,
): Int32Array {
  const wanted = Math.ceil(share * queries);
  if (wanted >= queries) return Int32Array.from({ length: queries }, (_, i) => i);
  const rows = new Set<number>();
  const around = (at: number) => {
    for (const row of [Math.floor(at) - 1, Math.floor(at), Math.ceil(at), Math.ceil(at) + 1])
      if (row >= 0 && row < queries) rows.add(row);
  };
  for (const row of [0, queries - 1]) around(row);
  for (let power = 1; power < queries; power *= 2) around(power);
  for (const border of borders) around(border);
  const useful = [...new Set(constants)].filter(c => c >= 2 && c < queries).sort((a, b) => b - a);
  for (const constant of useful) {
    const times = Math.floor(queries / constant);
    const stride = Math.max(1, Math.ceil((times * useful.length) / BY_CONSTANTS));
    for (let k = 1; k <= times; k += stride) around(k * constant);
    around(times * constant);
  }
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * queries);
  };
  for (let i = 0; i < AT_RANDOM; i++) rows.add(random());
  while (rows.size < Math.min(wanted, queries)) rows.add(random());
  return Int32Array.from(rows).sort();
}

/** Distances at which a rule changes. */
export function bordersOf(rule: ProbedRule): number[] {
  const { window } = rule.mask;
  const borders = window ? [window.before, window.after] : [];
  if (rule.bias?.kind === 'relative') borders.push(-rule.bias.first, rule.bias.size + rule.bias.first);
  return borders.filter(b => Number.isFinite(b) && b < Number.MAX_SAFE_INTEGER);
}
