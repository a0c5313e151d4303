/** Whether a rule gives what a core's chain does to the scores of chosen query rows, at one length. */
import { closedKeys, visibleKeys, type CoreInput } from '../../attention/core';
import type { Tensor } from '../../runtime/tensor';
import { HIDDEN_BELOW, NOTHING, type LogitRows, type ScorePattern } from './chain';
import type { ProbedRule } from './probe';

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
  /** A row whose logits are all this low gives nothing, as a rule's does that hides every key; NaN = none does. */
  nothing: number;
  /** Planes of what it gives: 1 or `heads`. */
  planes: number;
  /** `scores`: of every pair, or a pattern of [scorePlanes, its rows, keys]. `room`: of rows that are done with. */
  rows(rows: Int32Array, scores: number | ScorePattern, room?: Tensor): Promise<LogitRows>;
}

/** Random scores reach so far after the scale. */
const SPREAD = 4;
/** Logits may differ by this, and by this share of their size (rounding of float32 and of 16 bits). */
const TOLERANCE = { float: [1e-5, 1e-6], half: [5e-3, 5e-3] } as const;
/** Pairs, times planes, of one evaluation: few enough to stay in the processor's cache. */
const BLOCK = 2 ** 17;

/** Rows to compare: all of them where that costs little, else those where rules are likely to change. */
export interface Rows {
  some: Int32Array;
  all: boolean;
}

/** Whether the chain gives, at these rows, what the rule says, up to a constant per row. */
export async function agrees(source: RowSource, rule: ProbedRule, rows: Rows): Promise<boolean> {
  const { heads, keys } = source;
  const input = { ...source, kvHeads: heads, rule } as unknown as CoreInput;
  const evenScale = rule.scale.every(s => s === rule.scale[0]);
  const pattern = randomScores(source, rule, rows);
  const base = headScores(source, rule, pattern, evenScale);
  const own = new Float64Array(keys);
  let room: Tensor | undefined;
  for (const block of blocksOf(source, rows)) {
    const truth = await source.rows(block, pattern, room);
    room = truth.room;
    if (truth.planes === 1 && !evenScale) return false;
    const planes = truth.planes === 1 && rule.bias === null ? 1 : heads;
    for (let h = 0; h < planes; h++) {
      const scores = base[base.length === 1 ? 0 : h]!;
      for (let r = 0; r < block.length; r++) {
        const at = ((truth.planes === 1 ? 0 : h) * block.length + r) * keys;
        const row = block[r]!;
        const logits = truth.data.subarray(at, at + keys);
        const start = scores.start + (row % pattern.rows) * keys;
        const same =
          rule.bias === null && !rule.mask.streaming
            ? sameUnbiased(input, row, scores, start, logits, source)
            : sameRow(own, ownRow(input, h, row, scores, start, own), logits, source);
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

/** Of all rows the last come first: a rule that is wrong is mostly wrong there. */
export function* blocksOf(source: RowSource, rows: Rows): Generator<Int32Array> {
  const step = blockRows(source, rows);
  const { some, all } = rows;
  if (!all) {
    for (let from = 0; from < some.length; from += step) yield some.subarray(from, from + step);
    return;
  }
  const every = new Int32Array(source.queries);
  for (let row = 0; row < every.length; row++) every[row] = row;
  for (let from = Math.floor((every.length - 1) / step) * step; from >= 0; from -= step)
    yield every.subarray(from, from + step);
}

/** So many random numbers are drawn (a prime: neighbouring rows of any length begin at other ones), then repeated. */
const DRAWN = 16381;
/** The same random scores for every length, grown as they are needed. */
let drawn = { factor: 0, data: new Float32Array(0) };

function draw(factor: number, count: number): Float32Array {
  if (drawn.factor !== factor || drawn.data.length < count) {
    const data = new Float32Array(Math.max(count, BLOCK));
    let state = 1;
    for (let t = 0; t < DRAWN; t++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      data[t] = state * factor;
    }
    for (let filled = DRAWN; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
    drawn = { factor, data };
  }
  return drawn.data.subarray(0, count);
}

/** Uniform in [-SPREAD, SPREAD] after the scale. */
export function randomScores(source: RowSource, rule: ProbedRule, wanted: Rows): ScorePattern {
  let largest = 0;
  for (const scale of rule.scale) largest = Math.max(largest, Math.abs(scale));
  const rows = blockRows(source, wanted);
  const factor = SPREAD / (largest || 1) / 2 ** 31;
  return { rows, data: draw(factor, source.scorePlanes * rows * source.keys) };
}

/** Scores of one head under the rule's scale and cap: `values` from `start` on, [rows, keys], times `factor`. */
interface HeadScores {
  values: Float32Array | Float64Array;
  start: number;
  factor: number;
}

/** Of each head; one for all where they are the same. */
export function headScores(
  { heads, keys, scorePlanes }: RowSource,
  { scale, softCap }: ProbedRule,
  { rows, data }: ScorePattern,
  even: boolean,
): HeadScores[] {
  const size = rows * keys;
  return Array.from({ length: even && scorePlanes === 1 ? 1 : heads }, (_, h) => {
    const start = (scorePlanes === 1 ? 0 : h) * size;
    const factor = scale[h]!;
    if (softCap === null) return { values: data, start, factor };
    const values = new Float64Array(size);
    for (let t = 0; t < size; t++) values[t] = softCap * Math.tanh((data[start + t]! * factor) / softCap);
    return { values, start: 0, factor: 1 };
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
  { values, factor }: HeadScores,
  at: number,
  into: Float64Array,
): Seen {
  const { rule, keys, queries } = input;
  const { bias } = rule;
  const { from, to } = visibleKeys(input, row);
  const position = row + keys - queries;
  for (let j = from; j < to; j++) into[j] = values[at + j]! * factor;
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
  { values, factor }: HeadScores,
  at: number,
  truth: Float32Array,
  { half, nothing }: RowSource,
): boolean {
  const { from, to } = visibleKeys(input, row);
  const [absolute, relative] = half ? TOLERANCE.half : TOLERANCE.float;
  if (from === to) return truth.every(value => value <= nothing);
  const first = truth[from]!;
  if (!(first > NOTHING)) return false;
  const offset = first - values[at + from]! * factor;
  // Scores reach no further than SPREAD, or than the cap.
  const tolerance = absolute + relative * (SPREAD + Math.abs(offset));
  const [low, high, hidden] = [offset - tolerance, offset + tolerance, first - HIDDEN_BELOW];
  return (
    allBelow(hidden, truth, 0, from) &&
    allApart(low, high, truth, values, at, factor, from, to) &&
    allBelow(hidden, truth, to, truth.length)
  );
}

// The loops over all pairs stand by themselves: functions so small are compiled at once, and whatever else changes they stay so.

function allBelow(limit: number, values: Float32Array, from: number, to: number): boolean {
  for (let j = from; j < to; j++) if (!(values[j]! < limit)) return false;
  return true;
}

/** Whether `a` lies between `low` and `high` above `factor` times `b`, whose keys begin at `at`. */
function allApart(
  low: number,
  high: number,
  a: Float32Array,
  b: Float32Array | Float64Array,
  at: number,
  factor: number,
  from: number,
  to: number,
): boolean {
  for (let j = from; j < to; j++) {
    const difference = a[j]! - b[at + j]! * factor;
    if (!(difference >= low && difference <= high)) return false;
  }
  return true;
}

export function sameRow(
  own: Float64Array,
  { from, to, max }: Seen,
  truth: Float32Array,
  { half, nothing }: RowSource,
): boolean {
  const [absolute, relative] = half ? TOLERANCE.half : TOLERANCE.float;
  const truthMax = largestOf(truth);
  if (!(truthMax > NOTHING)) return !(max > NOTHING) && truthMax <= nothing;
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

export function largestOf(values: Float32Array): number {
  let largest = -Infinity;
  for (let t = 0; t < values.length; t++) {
    const value = values[t]!;
    if (value > largest) largest = value;
    else if (value !== value) return NaN;
  }
  return largest;
}
