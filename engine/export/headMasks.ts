/** Which pairs a head of a plan may attend to, in a form that other programs can compute: a rule, or tables of one text. */
import type { MaskRule } from '../attention/core';
import type { CoreInfo, MechanismChoice } from '../../shared/protocol/engine';

export type HeadMask =
  | { kind: 'dense' }
  /** Keys at most this far before and after. */
  | { kind: 'band'; reach: number }
  /** Weights clamp((ramp + span - distance) / ramp, 0, 1) on the exponentiated scores. */
  | { kind: 'soft'; span: number; ramp: number }
  | { kind: 'strided'; stride: number }
  | { kind: 'fixed'; block: number; summary: number }
  | { kind: 'globals'; window: number; globals: readonly number[] }
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

export interface PlannedMask {
  head: number;
  choice: MechanismChoice;
  mask: HeadMask;
}

/** One core of the model under a plan; `heads` holds every head. */
export interface CoreMasks {
  info: CoreInfo;
  /** The model's own mask, which holds in every head. */
  mask: MaskRule;
  queries: number;
  keys: number;
  heads: PlannedMask[];
}
