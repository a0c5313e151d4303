import type { CountKind } from '../../shared/protocol/engine';

/**
 * What a mechanism costs by formula, for one head over one text (as many queries as keys). Each mechanism has its own
 * formula (`Mechanism.cost`); what they share is here. A multiplication and an addition are two operations.
 */
export interface CostShape {
  dim: number;
  valueDim: number;
  causal: boolean;
  /** Heads of the layer; 1 where nothing is said. */
  layerHeads?: number;
  /** Spans fitted to a text, where a mechanism has one per head: the formula is their mean. */
  spans?: ArrayLike<number>;
  /** They are what a longer text than the one they were fitted to is expected to need. */
  extrapolated?: boolean;
}

export interface Cost {
  /** As `Attended.pairs` counts them. */
  pairs: number;
  /** Where the text decides what is kept, the number is what a text without structure would have, or the most. */
  count: CountKind;
  /** Floating-point operations: scores and weighted sum of the pairs, and what the mechanism needs to choose them. */
  flops: number;
  /** float32 memory of everything held at once: the weights of all kept pairs, and the mechanism's own. */
  bytes: number;
}

/** The cost of a set of pairs: a score and a weighted value for each, and its weight in memory. */
export function pairCost(
  pairs: number,
  { dim, valueDim }: CostShape,
  count: CountKind = 'exact',
  own: { flops?: number; floats?: number } = {},
): Cost {
  return {
    pairs,
    count,
    flops: 2 * pairs * (dim + valueDim) + (own.flops ?? 0),
    bytes: 4 * (pairs + (own.floats ?? 0)),
  };
}

/** Pairs that dense attention has. */
export function visiblePairs(tokens: number, causal: boolean): number {
  return causal ? (tokens * (tokens + 1)) / 2 : tokens * tokens;
}

/** Pairs at offsets -before .. after from the diagonal. */
export function bandSize(tokens: number, before: number, after: number): number {
  return tokens + side(tokens, before) + side(tokens, after);
}

/** Pairs at distances 1 .. reach on one side. */
function side(tokens: number, reach: number): number {
  const r = Math.max(0, Math.min(reach, tokens - 1));
  return r * tokens - (r * (r + 1)) / 2;
}

/** Of pairs that are each kept with a chance of `share` by every one of `times` independent draws, the share kept at all. */
export function caught(share: number, times: number): number {
  return 1 - (1 - Math.min(1, share)) ** times;
}
