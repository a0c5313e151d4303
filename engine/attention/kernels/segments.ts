import { visibleKeys, type CoreInput } from '../core';
import { numberOrAuto } from '../../../shared/setting';
import type { MechanismParams, ParameterInfo } from '../../../shared/protocol/engine';

/**
 * Recurrence by segments (Transformer-XL, Compressive Transformer): the queries are cut into segments; a query sees
 * the keys of its segment up to itself, and what is remembered from before the segment's start.
 */
export interface Segment {
  /** Queries from .. to-1. */
  from: number;
  to: number;
  /** Position of the first query. */
  start: number;
}

export const SEGMENT = 128;

export const segmentParameter: ParameterInfo = {
  name: 'segment',
  type: 'integer',
  default: null,
  defaultRule: `all queries when keys come before them or relative scores are given, else ${SEGMENT}`,
  minimum: 1,
  description: 'Queries processed at once; the state of the memory changes from segment to segment.',
};

export function segmentLength(
  input: CoreInput,
  params: MechanismParams,
  whole = input.keys > input.queries,
): number {
  return numberOrAuto(params, 'segment', whole ? input.queries : SEGMENT);
}

/** `whole`: the queries are one segment unless the parameter says otherwise. */
export function segmentsOf(
  input: CoreInput,
  params: MechanismParams,
  whole = input.keys > input.queries,
): Segment[] {
  const length = segmentLength(input, params, whole);
  const segments: Segment[] = [];
  for (let from = 0; from < input.queries; from += length) {
    const to = Math.min(input.queries, from + length);
    segments.push({ from, to, start: from + input.keys - input.queries });
  }
  return segments;
}

/** Keys of the default memory: all before the queries, or one segment. */
export function defaultMemory(input: CoreInput): number {
  return input.keys > input.queries ? input.keys - input.queries : SEGMENT;
}

/** Keys that a query sees without compression: from the memory's first on, within the mask. */
export function recentKeys(
  input: CoreInput,
  query: number,
  start: number,
  memory: number,
): { from: number; to: number } {
  const visible = visibleKeys(input, query);
  const from = Math.max(visible.from, start - memory);
  return { from, to: Math.max(from, visible.to) };
}

/** Why segments cannot be had, or null. */
export function refusesSegments(title: string, input: CoreInput): string | null {
  if (!input.rule.mask.causal) return `${title} is defined for causal attention only.`;
  return input.queries > input.keys ? `${title} needs a key for every query.` : null;
}

/** Pairs that a text of one sequence has in its segments and their memories. */
export function recentPairs(tokens: number, segment: number, memory: number): number {
  let pairs = 0;
  for (let start = 0; start < tokens; start += segment) {
    const rows = Math.min(segment, tokens - start);
    pairs += (rows * (rows + 1)) / 2 + rows * Math.min(start, memory);
  }
  return pairs;
}
