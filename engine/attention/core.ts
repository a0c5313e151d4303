/**
 * The inputs of one attention core and the rule that turns dot products into probabilities.
 * This is the border between the cut model (engine/model), the mechanisms (engine/attention) and the measures.
 */

import type { Tensor } from '../runtime/tensor';
import type { Attended } from './attended';

/** Which keys a query may see. Query i stands at position i + (keys - queries). */
export interface MaskRule {
  causal: boolean;
  /** Keys further before / after the query's position than this are hidden; null = no window. */
  window: { before: number; after: number } | null;
  /** Queries see only the keys of their own chunk of so many positions, counted from the first key (Llama 4). */
  chunk?: number;
  /**
   * First tokens and a window (StreamingLLM): of the keys from `first` on, those further from the query's position than
   * `before` / `after` are hidden. Then `window` is null.
   */
  streaming?: { first: number; before: number; after: number };
}

/** Keys from .. to - 1. */
export interface Stretch {
  from: number;
  to: number;
}

/** Added to the scaled (and capped) score. Position of a query as in MaskRule; offset = key - position. */
export type BiasRule =
  | {
      kind: 'alibi';
      /** [heads]; bias = slope * offset (a per-row constant does not matter) */ slopes: Float32Array;
    }
  | {
      kind: 'relative';
      /** [heads, size]; entry t is offset first + t; offsets beyond the ends take the end's value. -Infinity hides. */
      table: Float32Array;
      size: number;
      first: number;
    }
  /** Computed by the model's own graph, quadratic: [heads or 1, queries, keys]. May hold -Infinity. */
  | { kind: 'opaque'; heads: number; data: Float32Array };

/** Keys `keys` are hidden from the queries `queries` (null = all) of a head (null = of all heads); see blocked.ts. */
export interface BlockedPairs {
  head: number | null;
  queries: { from: number; to: number } | null;
  keys: { from: number; to: number };
}

export interface ScoreRule {
  /** [heads], multiplies the dot product. */
  scale: Float32Array;
  /** c in c * tanh(score / c), applied after the scale; null = none. */
  softCap: number | null;
  mask: MaskRule;
  bias: BiasRule | null;
  /** [heads]: a score beside those of the keys that takes a share of every query's mass and gives it to none (gpt-oss). */
  sink?: Float32Array;
  /** The lengths at which the rule was compared with the model's own graph. */
  checked?: { queries: number; keys: number };
  /** What an intervention takes away. No model has it by itself. */
  blocked?: readonly BlockedPairs[];
}

/** One text (batch of one). Key/value head of head h: floor(h * kvHeads / heads). */
export interface CoreInput {
  heads: number;
  kvHeads: number;
  queries: number;
  keys: number;
  dim: number;
  valueDim: number;
  /** [heads, queries, dim] */
  q: Float32Array;
  /** [kvHeads, keys, dim] */
  k: Float32Array;
  /** [kvHeads, keys, valueDim] */
  v: Float32Array;
  rule: ScoreRule;
  /** What the model itself does here, where that is no softmax of `rule`; mechanisms are run without it. */
  native?: NativeAttention;
  /** The model amplifies rounding (measured by its proof): the dense core computes in float64 where the device can. */
  precise?: boolean;
}

/** Heads of a native core that share their settings, as the mechanism ran them. */
export interface NativePart {
  /** Numbers in the whole core. */
  heads: readonly number[];
  mechanism: string;
  attended: Attended;
  /** What the model learned for them. */
  own: Readonly<Record<string, Tensor>>;
}

/** A core under the mechanism that its model was made with. */
export interface NativeAttention {
  /** The key of the setting that it is; null where it is none that could be chosen. */
  setting: string | null;
  /** All heads together; the output is the model's own. */
  attended: Attended;
  partOf(head: number): NativePart;
  /** The heads whose keys are their queries at unit length, which see themselves only as a last resort. */
  tied: readonly number[];
  /** A softmax core with the same probabilities, for those that look at them; quadratic. */
  map(): CoreInput;
  /** The output without these pairs, where it is more than the map tells; absent where the map tells it. */
  without?(blocked: readonly BlockedPairs[]): Promise<Float32Array>;
}

/** The core without what its model itself does there; for mechanisms that stand in for that see whatIf.ts. */
export function plainCore(input: CoreInput): CoreInput {
  const { native, ...plain } = input;
  return native ? plain : input;
}

/** The core whose softmax gives the model's own probabilities, with what an intervention takes away. */
export function ownMap(input: CoreInput): CoreInput {
  const { native, rule } = input;
  if (!native) return input;
  const map = native.map();
  return rule.blocked ? { ...map, rule: { ...map.rule, blocked: rule.blocked } } : map;
}

/** The output of a native core, where its map does not give it: nothing of it was taken away, or more than the map tells. */
export async function ownOutput({ native, rule }: CoreInput): Promise<Float32Array | null> {
  if (!native) return null;
  return rule.blocked ? ((await native.without?.(rule.blocked)) ?? null) : native.attended.output;
}

/** The model's own run, where this is the setting that it was made with and nothing was taken away. */
export const ownRun = ({ native, rule }: CoreInput, setting: string): Attended | null =>
  native?.setting === setting && !rule.blocked ? native.attended : null;

/** A row of an opaque bias whose largest value is further than this from 0 is shifted: float32 scores keep their digits. */
export const FAR_BIAS = 100;

/** Beside a bias this far from 0 a score is lost even in float64 sums: what is left is the softmax of the bias. */
export const LOST_SCORES = 1e18;

/** Share of a query's mass that its keys get beside a sink; `lse`: log-sum-exp of the keys' scores. */
export const keptBySink = (sink: number, lse: number): number => 1 / (1 + Math.exp(sink - lse));

/** The core without Q, K and V (and without a bias that is as large): what shape and rule decide can be asked of it. */
export function outlineOf(input: CoreInput): CoreInput {
  const none = new Float32Array(0);
  const { rule } = plainCore(input);
  const bias = rule.bias?.kind === 'opaque' ? { ...rule.bias, data: none } : rule.bias;
  return { ...plainCore(input), q: none, k: none, v: none, rule: { ...rule, bias } };
}

export function kvHead(input: CoreInput, head: number): number {
  return Math.floor((head * input.kvHeads) / input.heads);
}

/** First and one-past-last key that the mask lets query i see. */
export function visibleKeys(input: CoreInput, query: number): { from: number; to: number } {
  const { causal, window, chunk } = input.rule.mask;
  const position = query + input.keys - input.queries;
  let from = 0;
  let to = causal ? Math.min(position + 1, input.keys) : input.keys;
  if (window) {
    from = Math.max(0, position - window.before);
    to = Math.min(to, position + window.after + 1);
  }
  if (chunk !== undefined) {
    const start = Math.floor(position / chunk) * chunk;
    from = Math.max(from, start);
    to = Math.min(to, start + chunk);
  }
  return { from, to: Math.max(from, to) };
}

/** Keys that the text has for query i: all up to it where it may not look ahead, whatever the model's windows. */
export function keysOfText({ keys, queries, rule }: CoreInput, query: number): number {
  return rule.mask.causal ? Math.min(keys, query + keys - queries + 1) : keys;
}

/** Keys between those of `visibleKeys` that the mask hides, ascending. */
export function closedKeys({ rule, queries, keys }: CoreInput, query: number): Stretch[] {
  const { streaming } = rule.mask;
  if (!streaming) return [];
  const { first, before, after } = streaming;
  const position = query + keys - queries;
  const stretches = [
    { from: first, to: Math.min(keys, position - before) },
    { from: Math.max(first, position + after + 1), to: keys },
  ];
  return stretches.filter(({ from, to }) => from < to);
}

/** The keys that the mask lets a query see. */
export function visibleStretches(input: CoreInput, query: number): Stretch[] {
  const { from, to } = visibleKeys(input, query);
  const open: Stretch[] = [];
  let at = from;
  for (const closed of closedKeys(input, query)) {
    const end = Math.min(closed.from, to);
    if (end > at) open.push({ from: at, to: end });
    at = Math.max(at, closed.to);
  }
  if (to > at) open.push({ from: at, to });
  return open;
}

/** Bias of one pair. */
export function biasAt(input: CoreInput, head: number, query: number, key: number): number {
  const { bias } = input.rule;
  if (!bias) return 0;
  if (bias.kind === 'opaque') {
    return bias.data[((bias.heads === 1 ? 0 : head) * input.queries + query) * input.keys + key]!;
  }
  const offset = key - (query + input.keys - input.queries);
  if (bias.kind === 'alibi') return bias.slopes[head]! * offset;
  const t = Math.max(0, Math.min(bias.size - 1, offset - bias.first));
  return bias.table[head * bias.size + t]!;
}

/** Dense cost: the pairs that the mask lets through, per head. */
export function densePairs(input: CoreInput): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    for (const { from, to } of visibleStretches(input, i)) pairs += to - from;
  }
  return pairs;
}
