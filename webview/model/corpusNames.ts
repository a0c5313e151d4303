import type { Over } from '../../shared/protocol/corpus';

const NAMES: Readonly<Record<string, string>> = {
  entropy: 'Entropy (nats)',
  relativeEntropy: 'Relative entropy',
  meanDistance: 'Distance (tokens)',
  span90: 'Span of 90 % (tokens)',
  span95: 'Span of 95 % (tokens)',
  span99: 'Span of 99 % (tokens)',
  self: 'Mass to itself',
  previous: 'Mass to the previous',
  next: 'Mass to the next',
  first: 'Mass to the first',
  separator: 'Mass to separators',
  punctuation: 'Mass to punctuation',
  sink: 'Mass to the sink',
  largestMass: 'Most mass on one key',
  farMass: 'Most mass on one far key',
  largestScore: 'Largest score',
  outputNorm: 'Norm of the output',
};

/** A measure in words, with what it is over where that is not single queries. */
export function spelled(measure: string, over: Over = 'queries'): string {
  const name = NAMES[measure] ?? measure;
  return over === 'texts' ? `${name}, by text` : name;
}
