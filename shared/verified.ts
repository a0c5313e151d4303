import type { TextCheck } from './protocol/analysis';
import { english, type Translate } from './translate';

/** What "verified" means, wherever the mark stands: editor, report, command line and docs/models.md. */
export const VERIFIED_MEANS = [
  'Verified: before anything was shown, the masks and biases of every attention were compared with the model’s own graph at the very length of this text, at every query; where that would take too long, at the share of the queries that is named, between which a single odd one could be missed.',
  'The model that was cut at its attention then gave, on the first tokens of this very text (as many as are named), the outputs of the uncut model in ONNX Runtime, up to the rounding that the uncut model shows between its own runs; where it rounds to 8 or 16 bits, each attention was also compared with the model’s own nodes on the same inputs.',
  'What the mark does not say is that the tokenizer, the inputs or the file are those that the model’s authors meant.',
] as const;

const scientific = (value: number): string => (value === 0 ? '0' : value.toExponential(1));

/** The mark itself: how far the comparison went, and the largest difference it found. */
export function verifiedMark({ holds, tokens, of, maxAbsDiff }: TextCheck, t: Translate = english): string {
  const part = tokens === of ? t('all {0} tokens', of) : t('{0} of {1} tokens', tokens, of);
  return t(
    holds ? 'Verified ({0}, difference {1})' : 'Not verified ({0}, difference {1})',
    part,
    scientific(maxAbsDiff),
  );
}

/** The result of one comparison, in a line. */
export function verifiedLine(check: TextCheck, t: Translate = english): string {
  const { tokens, of, rules } = check;
  const amplified = check.float64 || check.spread > 1e-5;
  return t(
    'largest difference {0} ({1} of the largest output){2} against the uncut model on {3}{4}{5}{6}; masks and biases at {7} tokens, {8}',
    scientific(check.maxAbsDiff),
    scientific(check.maxRelDiff),
    check.lossDiff === null ? '' : t(', of the loss {0} nats', scientific(check.lossDiff)),
    tokens === of ? t('all {0} tokens', of) : t('the first {0} of {1} tokens', tokens, of),
    check.float64 ? t(', in float64') : '',
    amplified ? t("; the model's own runs lie {0} apart", scientific(check.spread)) : '',
    check.cores === undefined
      ? ''
      : t('; each attention on the same inputs within {0}', scientific(check.cores)),
    rules.tokens,
    rules.everyRow ? t('every query') : someQueries(rules.share, t),
  );
}

const someQueries = (share: number | undefined, t: Translate): string =>
  share === undefined ? t('some queries') : t('{0} of the queries', percent(share, t));

const percent = (share: number, t: Translate): string =>
  share < 0.01 ? t('less than 1%') : `${Math.floor(100 * share)}%`;

/** Said where the mark is missing. */
export function notVerified(check: TextCheck, t: Translate = english): string {
  const { tokens, of, rules } = check;
  return t(
    'Not verified: on the first {0} tokens of this text the cut model departs from the model by {1} ({2} of the largest output).{3}',
    tokens,
    scientific(check.maxAbsDiff),
    scientific(check.maxRelDiff),
    rules.tokens < of
      ? t(' Its masks and biases could be compared up to {0} tokens only.', rules.tokens)
      : '',
  );
}
