import { carried, interval } from './amounts';
import type { Interval } from '../../shared/protocol/engine';
import { carriersOf, meanInterval } from '../../shared/uncertainty';

/** What is said of how sure a change is; empty where the tokens tell nothing. */
export interface Certainty {
  /** 95 %; null where it is not known. */
  range: Interval | null;
  /** "+0.05 to +0.08". */
  interval: string;
  /** "40 % of it on 10 of 1,023 tokens". */
  carriers: string;
}

const UNKNOWN: Certainty = { range: null, interval: '', carriers: '' };
const known = new WeakMap<Float32Array, Certainty>();

/** Of a mean over `perToken`; each is worked out once, however often it is drawn. */
export function certaintyOf(perToken: Float32Array | undefined): Certainty {
  if (!perToken) return UNKNOWN;
  let found = known.get(perToken);
  if (!found) {
    const [range, few] = [meanInterval([perToken]), carriersOf(perToken)];
    found = { range, interval: range ? interval(range) : '', carriers: few ? carried(few) : '' };
    known.set(perToken, found);
  }
  return found;
}

/** "95 %: +0.05 to +0.08; ", before what else is said. */
export function intervalWords(perToken: Float32Array): string {
  const { interval } = certaintyOf(perToken);
  return interval && `95\u202f%: ${interval}; `;
}

/** "95 %: +0.05 to +0.08; 40 % of it on 10 of 1,023 tokens"; empty where nothing is known. */
export function certaintyWords(perToken: Float32Array | undefined): string {
  const { interval, carriers } = certaintyOf(perToken);
  return [interval && `95\u202f%: ${interval}`, carriers].filter(Boolean).join('; ');
}
