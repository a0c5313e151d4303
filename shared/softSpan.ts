import type { SpanFit } from './protocol/details';

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

/** What spans are fitted to. */
export interface SpanCore {
  queries: number;
  keys: number;
  mask: SpanMask;
  /** [heads, distances] mean mass at each distance. */
  byDistance: Float32Array;
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
      heads.push({
        core: c,
        head,
        span,
        recall: keptMass(mass, span, ramp),
        pairs: pairsOf(core, span, ramp),
        densePairs,
      });
    }
  }
  return { ramp, heads };
}

function pairsOf({ mask, queries, keys }: SpanCore, span: number, ramp: number): number {
  return spanPairs(mask, queries, keys, span, ramp);
}
