import type { Over } from '../../shared/protocol/corpus';
import { t } from '../host/words';

const NAMES: Readonly<Record<string, string>> = {
  entropy: t('Entropy (nats)'),
  relativeEntropy: t('Relative entropy'),
  meanDistance: t('Distance (tokens)'),
  span90: t('Span of 90 % (tokens)'),
  span95: t('Span of 95 % (tokens)'),
  span99: t('Span of 99 % (tokens)'),
  self: t('Mass to itself'),
  previous: t('Mass to the previous'),
  next: t('Mass to the next'),
  first: t('Mass to the first'),
  separator: t('Mass to separators'),
  punctuation: t('Mass to punctuation'),
  sink: t('Mass to the sink'),
  largestMass: t('Most mass on one key'),
  farMass: t('Most mass on one far key'),
  largestScore: t('Largest score'),
  outputNorm: t('Norm of the output'),
};

/** A measure in words, with what it is over where that is not single queries. */
export function spelled(measure: string, over: Over = 'queries'): string {
  const name = NAMES[measure] ?? measure;
  return over === 'texts' ? t('{0}, by text', name) : name;
}
