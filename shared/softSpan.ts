import type { SpanFit } from './protocol/details';
import type { Growth } from './protocol/mechanisms';

/**
 * The soft mask of the adaptive span (Sukhbaatar et al., Adaptive Attention Span in Transformers, 2019, section 3),
 * and fitting it to the mass that a dense head puts at each distance. Distance 0 is the query itself.
 */

/** m_z(x) = clamp((ramp + span - x) / ramp, 0, 1); a ramp of 0 cuts right after the span. */
export function softMask(distance: number, span: number, ramp: number): number {
  if (ramp === 0) return distance <= span ? 1 : 0;
  return Math.max(0, Math.min(1, (ramp + span - distance) / ramp));
}

/** Largest distance with any weight. */
export function reach(span: number, ramp: number): number {
  return ramp === 0 ? Math.floor(span) : Math.ceil(span + ramp) - 1;
}

/** Mass under the soft mask. `mass[x]`: mean mass of a head at distance x. */
export function keptMass(mass: ArrayLike<number>, span: number, ramp: number): number {
  let kept = 0;
  const end = Math.min(mass.length - 1, reach(span, ramp));
  for (let x = 0; x <= end; x++) kept += mass[x]! * softMask(x, span, ramp);
  return kept;
}

/** The smallest whole span whose kept mass is at least `target` (a share of the head's mass, 0..1). */
export function fitSpan(mass: ArrayLike<number>, target: number, ramp: number): number {
  let total = 0;
  for (let x = 0; x < mass.length; x++) total += mass[x]!;
  // A share of 1 is reached when all is kept; leave room for rounding in the sums.
  const wanted = target * total - 1e-9 * total;
  let low = 0;
  let high = Math.max(0, mass.length - 1);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keptMass(mass, middle, ramp) >= wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The model's own mask: keys further than `before` / `after`, and those of other chunks, are hidden. */
export interface SpanMask {
  causal: boolean;
  window: { before: number; after: number } | null;
  chunk?: number;
}

/** Distinct pairs of one head under its soft mask and the model's mask. */
export function spanPairs(mask: SpanMask, queries: number, keys: number, span: number, ramp: number): number {
  const limit = reach(span, ramp);
  const before = Math.min(limit, mask.window?.before ?? Infinity);
  const after = mask.causal ? 0 : Math.min(limit, mask.window?.after ?? Infinity);
  let pairs = 0;
  for (let position = keys - queries; position < keys; position++) {
    let from = Math.max(0, position - before);
    let to = Math.min(keys, position + after + 1);
    if (mask.chunk !== undefined) {
      const start = Math.floor(position / mask.chunk) * mask.chunk;
      from = Math.max(from, start);
      to = Math.min(to, start + mask.chunk);
    }
    pairs += Math.max(0, to - from);
  }
  return pairs;
}

/** The first tokens of a causal text are a text of their own. */
export interface DistancePrefix {
  queries: number;
  /** [heads, queries] mean mass at each distance. */
  byDistance: Float32Array;
}

/** What spans are fitted to. */
export interface SpanCore {
  queries: number;
  keys: number;
  mask: SpanMask;
  /** [heads, distances] mean mass at each distance. */
  byDistance: Float32Array;
  /** Of its beginnings, shortest first: what spans are fitted against the length with. */
  prefixes?: readonly DistancePrefix[];
  heads: { readonly length: number };
}

/**
 * A span for every head from its mass by distance alone, so that a slider can refit at once: to a share of the mass, or to a
 * budget of pairs (then one mass target for all heads, the largest that the budget pays for).
 */
export function fitSpans(
  cores: readonly SpanCore[],
  { massTarget, budget = 1, ramp }: { massTarget?: number; budget?: number; ramp: number },
): SpanFit {
  if (massTarget !== undefined) return fitTo(cores, massTarget, ramp);
  const dense = cores.reduce((sum, core) => sum + core.heads.length * pairsOf(core, Infinity, ramp), 0);
  let low = 0;
  let high = 1;
  for (let step = 0; step < 24; step++) {
    const target = (low + high) / 2;
    const pairs = fitTo(cores, target, ramp).heads.reduce((sum, head) => sum + head.pairs, 0);
    if (pairs <= budget * dense) low = target;
    else high = target;
  }
  return fitTo(cores, low, ramp);
}

function fitTo(cores: readonly SpanCore[], target: number, ramp: number): SpanFit {
  const heads: SpanFit['heads'] = [];
  for (const [c, core] of cores.entries()) {
    const densePairs = pairsOf(core, Infinity, ramp);
    const size = core.byDistance.length / core.heads.length;
    for (let head = 0; head < core.heads.length; head++) {
      const mass = core.byDistance.subarray(head * size, (head + 1) * size);
      const span = fitSpan(mass, target, ramp);
      const recall = keptMass(mass, span, ramp);
      heads.push({
        core: c,
        head,
        span,
        recall,
        pairs: pairsOf(core, span, ramp),
        densePairs,
        ...growthOf(core, head, { span, ramp, kept: recall }),
      });
    }
  }
  return { ramp, heads };
}

/** A span that grows by this part when its text is twice as long has been cut off by the text's length. */
const GROWS = 0.1;

/** So steep that a span of half a text is the whole of one twice as long. */
const WHOLE = 2;

/**
 * How the span that keeps this share of the mass grows with the length of the text: as its power, by the text's beginnings.
 * `least` and `most`: between two lengths. Spans grow faster than the text as well, but are not counted on to (`least`); one of more than
 * half of the text may be as long as any text, and one that is not cut off is likely to stay as it is.
 */
export function growthOf(
  { queries, keys, mask, prefixes = [] }: Pick<SpanCore, 'queries' | 'keys' | 'mask' | 'prefixes'>,
  head: number,
  { span, ramp, kept }: { span: number; ramp: number; kept: number },
): Pick<SpanFit['heads'][number], 'censored' | 'growth'> {
  // A window of the model's own ends what it sees at every length.
  const open = mask.window === null && mask.chunk === undefined;
  const points = [
    ...prefixes.map(({ queries: length, byDistance }) => {
      const mass = byDistance.subarray(head * length, (head + 1) * length);
      return { length, span: fitSpan(mass, kept, ramp) };
    }),
    { length: queries, span },
  ];
  const overHalf = span > keys / 2;
  const slopes = points.slice(1).map((point, at) => {
    const before = points[at]!;
    const slope = Math.log((point.span + 1) / (before.span + 1)) / Math.log(point.length / before.length);
    return Math.min(WHOLE, Math.max(0, slope));
  });
  const last = points.at(-2);
  const grew = last !== undefined && span - last.span > Math.max(1, GROWS * last.span);
  const censored = open && (overHalf || grew);
  const steepest = open ? Math.max(0, ...slopes) : 0;
  if (!censored) return { censored, growth: { least: 0, likely: 0, most: steepest } };
  const least = slopes.length > 0 ? Math.min(1, ...slopes) : 0;
  const likely = slopes.length > 0 ? slopes.reduce((sum, slope) => sum + slope, 0) / slopes.length : 1;
  return { censored, growth: { least, likely, most: overHalf ? WHOLE : steepest } };
}

/** The spans that a fit leads to expect at a length other than its text's; a shorter text cuts none of them off anew. */
export function spansAt(fit: SpanFit, fitted: number, tokens: number): Record<keyof Growth, number[]> {
  const at = (bound: keyof Growth) =>
    fit.heads.map(({ span, growth }) =>
      tokens <= fitted
        ? span
        : Math.min(tokens, (span + 1) * (tokens / fitted) ** (growth?.[bound] ?? 0) - 1),
    );
  return { least: at('least'), likely: at('likely'), most: at('most') };
}

function pairsOf({ mask, queries, keys }: SpanCore, span: number, ramp: number): number {
  return spanPairs(mask, queries, keys, span, ramp);
}
