import type { BiasRule, MaskRule, ScoreRule } from '../../attention/core';
import { biasAt, visibleKeys, type CoreInput } from '../../attention/core';
import { RefusedError, told } from '../../errors';
import type { CoreAttention } from '../../../shared/protocol/models';

/** The chain between QK^T and the softmax, evaluated on scores of our choice. */
export interface Chain {
  heads: number;
  /**
   * Logits [heads, queries, keys] for texts of `length` tokens (and targets of `length`), every score being `score`,
   * or given in full.
   */
  evaluate(length: number, score: number | Float32Array): Promise<Float32Array>;
  /** Whole numbers that the masks compare positions with: windows show only beyond them. */
  thresholds: number[];
  /** The chain reads tensors that depend on the text. */
  content: boolean;
  /** Computed in 16 bits: values are rounded to three digits. */
  half: boolean;
}

export interface ProbedRule {
  scale: Float32Array;
  softCap: number | null;
  mask: MaskRule;
  bias: BiasRule | null;
  /** The bias must be computed by the graph for every text. */
  opaque: boolean;
  /** In words, for people. */
  description: string;
  /** The mechanism that its bias belongs to, where the graph computes it for each length or text. */
  made?: {
    name: string;
    params: CoreAttention['params'];
    /** These settings say it all: our mechanism keeps the same pairs under them. */
    whole?: true;
  };
  /** The lengths at which it was compared with the chain beyond the probe; absent: at the probe's only. */
  checked?: ScoreRule['checked'];
}

/** Logits below this are masks: exporters add -1e4, -65504, -3.4e38 or -Infinity. */
const MASKED = -9999;
const FIRST_LENGTH = 24;
const CHECK_LENGTH = 61;
/** Tokens of the largest grid that a probe builds; what shows later is learnt at the text's own length. */
export const LONGEST_PROBE = 512;
const TOLERANCE = { float: 1e-5, half: 1e-2 };

/**
 * What the graph does to a score, recognised from the values it gives at small lengths and verified on random scores
 * at a length not used for the recognition. `limit`: longest text the model takes, or null.
 */
export async function probeRule(chain: Chain, name: string, limit: number | null): Promise<ProbedRule> {
  const bound = Math.min(limit ?? Infinity, LONGEST_PROBE);
  const shown = chain.thresholds.map(t => 2 * t + 4).filter(t => t <= bound);
  let length = Math.min(bound, Math.max(FIRST_LENGTH, ...shown));
  let found = await recognise(chain, length);
  while (found.needsMore && length < bound) {
    length = Math.min(bound, 2 * length);
    found = await recognise(chain, length);
  }
  return verified(chain, found.rule, name, limit);
}

// ---------------------------------------------------------------- recognising

interface Grid {
  heads: number;
  n: number;
  data: Float32Array;
}

type Recognised = { rule: ProbedRule; needsMore: boolean };

async function recognise(chain: Chain, n: number): Promise<Recognised> {
  const zero: Grid = { heads: chain.heads, n, data: await chain.evaluate(n, 0) };
  const softCap = await capOf(chain, zero);
  const scale = await scaleOf(chain, zero, softCap);
  const mask = chain.content ? null : maskOf(zero);
  const words: string[] = [];
  if (mask) {
    words.push(mask.causal ? 'causal' : 'full');
    if (mask.window) words.push(`window ${windowWords(mask)}`);
    const found = biasOf(zero, mask, chain.half ? 2e-3 : 1e-5);
    if (found) {
      if (found.bias) words.push(found.bias.kind === 'alibi' ? 'ALiBi' : 'relative bias');
      if (softCap !== null) words.push(`soft cap ${Number(softCap.toPrecision(6))}`);
      return {
        rule: { scale, softCap, mask, bias: found.bias, opaque: false, description: words.join(', ') },
        needsMore: found.needsMore,
      };
    }
  }
  const full: MaskRule = { causal: mask?.causal ?? hidesFuture(zero), window: null };
  const description = [full.causal ? 'causal' : 'full', "bias computed by the model's graph"].join(', ');
  return { rule: { scale, softCap, mask: full, bias: null, opaque: true, description }, needsMore: false };
}

/** "128" for causal masks, else "8 before, any after". */
export function windowWords({ causal, window }: MaskRule): string {
  const reach = (side: number) => (side < Number.MAX_SAFE_INTEGER ? String(side) : 'any');
  return causal
    ? String(window!.before + 1)
    : `${reach(window!.before)} before, ${reach(window!.after)} after`;
}

/** The position of each head whose bias disturbs the measurement least. */
function quietest({ heads, n, data }: Grid): Int32Array {
  return Int32Array.from({ length: heads }, (_, h) => {
    let best = -1;
    for (let at = h * n * n; at < (h + 1) * n * n; at++) {
      const value = data[at]!;
      if (value > MASKED && (best < 0 || Math.abs(value) < Math.abs(data[best]!))) best = at;
    }
    if (best < 0) throw new RefusedError('An attention of the model hides every key.');
    return best;
  });
}

async function capOf(chain: Chain, zero: Grid): Promise<number | null> {
  const at = quietest(zero)[0]!;
  const huge = (await chain.evaluate(zero.n, 1e30))[at]! - zero.data[at]!;
  return Number.isFinite(huge) && huge < 1e6 ? huge : null;
}

/** Powers of two, so that nothing is rounded where scale and score are all there is. */
async function scaleOf(chain: Chain, zero: Grid, softCap: number | null): Promise<Float32Array> {
  const probe = softCap === null ? (chain.half ? 4096 : 65536) : 2 ** -10;
  const some = await chain.evaluate(zero.n, probe);
  return Float32Array.from(quietest(zero), at => {
    const gain = some[at]! - zero.data[at]!;
    return (softCap === null ? gain : softCap * Math.atanh(gain / softCap)) / probe;
  });
}

function hidesFuture({ n, data }: Grid): boolean {
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) if (data[i * n + j]! > MASKED) return false;
  return n > 1;
}

/** Full, causal and windowed masks, equal for all heads; null = another pattern. */
function maskOf({ heads, n, data }: Grid): MaskRule | null {
  let before = 0;
  let after = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      if (data[i * n + j]! > MASKED) {
        before = Math.max(before, i - j);
        after = Math.max(after, j - i);
      }
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        const visible = i - j <= before && j - i <= after;
        if (data[(h * n + i) * n + j]! > MASKED !== visible) return null;
      }
  const causal = after === 0 && n > 1;
  const windowed = before < n - 1 || (!causal && after < n - 1);
  const wide = Number.MAX_SAFE_INTEGER;
  return {
    causal,
    window: windowed
      ? { before: before < n - 1 ? before : wide, after: causal ? 0 : after < n - 1 ? after : wide }
      : null,
  };
}

/** No bias, ALiBi, or a table by relative position; null = none of these. */
function biasOf(
  zero: Grid,
  mask: MaskRule,
  tolerance: number,
): { bias: BiasRule | null; needsMore: boolean } | null {
  const { heads, n, data } = zero;
  const seen = (i: number) => visibleKeys({ queries: n, keys: n, rule: { mask } } as CoreInput, i);
  const slopes = new Float32Array(heads);
  let largest = 0;
  let linear = true;
  for (let h = 0; h < heads; h++) {
    const last = (h * n + n - 1) * n;
    const { from } = seen(n - 1);
    slopes[h] = n - 1 > from ? (data[last + n - 1]! - data[last + from]!) / (n - 1 - from) : 0;
    for (let i = 0; i < n; i++) {
      const row = (h * n + i) * n;
      const { from, to } = seen(i);
      for (let j = from; j < to; j++) {
        const value = data[row + j]!;
        largest = Math.max(largest, Math.abs(value));
        const drift = value - data[row + from]! - slopes[h]! * (j - from);
        if (Math.abs(drift) > tolerance * (1 + Math.abs(value))) linear = false;
      }
    }
  }
  if (linear && slopes.every(s => s === 0)) return { bias: null, needsMore: false };
  if (largest === 0) return { bias: null, needsMore: false };
  if (linear) return { bias: { kind: 'alibi', slopes }, needsMore: false };
  return tableOf(zero, seen);
}

function tableOf(
  { heads, n, data }: Grid,
  seen: (i: number) => { from: number; to: number },
): { bias: BiasRule; needsMore: boolean } | null {
  const size = 2 * n - 1;
  const table = new Float32Array(heads * size).fill(NaN);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < n; i++) {
      const { from, to } = seen(i);
      for (let j = from; j < to; j++) {
        const value = data[(h * n + i) * n + j]!;
        const at = h * size + j - i + n - 1;
        if (Number.isNaN(table[at]!)) table[at] = value;
        else if (Math.abs(table[at]! - value) > 1e-6 * (1 + Math.abs(value))) return null;
      }
    }
  // Offsets that no query sees take their neighbour's value; it is never used.
  let low = 0;
  let high = size - 1;
  while (Number.isNaN(table[low]!)) low++;
  while (Number.isNaN(table[high]!)) high--;
  // The ends stand for all offsets beyond them, so the last quarter on each visible side must not change any more.
  const quarter = Math.floor(n / 4);
  let settled = true;
  for (let h = 0; h < heads; h++) {
    const row = table.subarray(h * size, (h + 1) * size);
    row.fill(row[low]!, 0, low);
    row.fill(row[high]!, high + 1);
    for (let t = 0; t < quarter; t++)
      if (row[t] !== row[0] || row[size - 1 - t] !== row[size - 1]) settled = false;
  }
  return { bias: { kind: 'relative', table, size, first: 1 - n }, needsMore: !settled };
}

// ---------------------------------------------------------------- verifying

/** Compares probabilities on random scores; a rule that fails is given up for the graph's own bias. */
async function verified(
  chain: Chain,
  rule: ProbedRule,
  name: string,
  limit: number | null,
): Promise<ProbedRule> {
  const n = Math.min(CHECK_LENGTH, limit ?? Infinity);
  const random = randomScores(chain.heads * n * n);
  const truth = await chain.evaluate(n, random);
  const bias = rule.opaque ? opaqueBias(chain.heads, await chain.evaluate(n, 0)) : rule.bias;
  const worst = worstDifference(chain.heads, n, random, truth, { ...rule, bias });
  if (worst <= (chain.half ? TOLERANCE.half : TOLERANCE.float)) return rule;
  if (rule.opaque)
    throw new RefusedError(
      told`What ${name} does to its scores is not understood (probabilities differ by ${worst.toExponential(1)}).`,
    );
  const mask: MaskRule = { causal: rule.mask.causal, window: null };
  const words = mask.causal ? 'causal' : 'full';
  const opaque: ProbedRule = {
    ...rule,
    mask,
    bias: null,
    opaque: true,
    description: `${words}, bias computed by the model's graph`,
  };
  return verified(chain, opaque, name, limit);
}

/** f(0) of the chain as a bias: masks become -Infinity; one plane when all heads agree. */
export function opaqueBias(heads: number, data: Float32Array): Extract<BiasRule, { kind: 'opaque' }> {
  const plane = data.length / heads;
  const bias = data.map(v => (v > MASKED ? v : -Infinity));
  const equal = bias.every((v, i) => v === bias[i % plane]);
  return { kind: 'opaque', heads: equal ? 1 : heads, data: equal ? bias.slice(0, plane) : bias };
}

function randomScores(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 16;
  });
}

function worstDifference(
  heads: number,
  n: number,
  scores: Float32Array,
  truth: Float32Array,
  rule: ScoreRule,
): number {
  const input = { heads, kvHeads: heads, queries: n, keys: n, rule } as CoreInput;
  const own = new Float64Array(n);
  let worst = 0;
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < n; i++) {
      const row = (h * n + i) * n;
      const { from, to } = visibleKeys(input, i);
      own.fill(-Infinity);
      for (let j = from; j < to; j++) {
        const s = scores[row + j]! * rule.scale[h]!;
        own[j] =
          (rule.softCap === null ? s : rule.softCap * Math.tanh(s / rule.softCap)) + biasAt(input, h, i, j);
      }
      const expected = softmax(Float64Array.from(truth.subarray(row, row + n)));
      const found = softmax(own);
      for (let j = 0; j < n; j++) {
        const d = Math.abs(expected[j]! - found[j]!);
        // A row without keys has no probabilities on either side.
        if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
      }
    }
  return worst;
}

function softmax(logits: Float64Array): Float64Array {
  let max = -Infinity;
  for (const v of logits) max = Math.max(max, v);
  if (max <= MASKED) return logits.fill(0);
  let sum = 0;
  for (let j = 0; j < logits.length; j++) sum += logits[j] = Math.exp(logits[j]! - max);
  return logits.map(v => v / sum);
}
