import type { TextCheck } from './protocol/analysis';

/** What "verified" means, wherever the mark stands: editor, report, command line and docs/models.md. */
export const VERIFIED_MEANS = [
  'Verified: before anything was shown, the masks and biases of every attention were compared with the model’s own graph at the very length of this text, at every query; where that would take too long, at the share of the queries that is named, between which a single odd one could be missed.',
  'The model that was cut at its attention then gave, on the first tokens of this very text (as many as are named), the outputs of the uncut model in ONNX Runtime, up to the rounding that the uncut model shows between its own runs; where it rounds to 8 or 16 bits, each attention was also compared with the model’s own nodes on the same inputs.',
  'What the mark does not say is that the tokenizer, the inputs or the file are those that the model’s authors meant.',
] as const;

const scientific = (value: number): string => (value === 0 ? '0' : value.toExponential(1));

/** The mark itself: how far the comparison went, and the largest difference it found. */
export function verifiedMark({ holds, tokens, of, maxAbsDiff }: TextCheck): string {
  const part = tokens === of ? `all ${of} tokens` : `${tokens} of ${of} tokens`;
  return `${holds ? 'Verified' : 'Not verified'} (${part}, difference ${scientific(maxAbsDiff)})`;
}

/** The result of one comparison, in a line. */
export function verifiedLine(check: TextCheck): string {
  const part =
    check.tokens === check.of ? `all ${check.of} tokens` : `the first ${check.tokens} of ${check.of} tokens`;
  const loss = check.lossDiff === null ? '' : `, of the loss ${scientific(check.lossDiff)} nats`;
  const amplified = check.float64 || check.spread > 1e-5;
  const spread = amplified ? `; the model's own runs lie ${scientific(check.spread)} apart` : '';
  const cores =
    check.cores === undefined ? '' : `; each attention on the same inputs within ${scientific(check.cores)}`;
  const at = check.rules.everyRow ? 'every query' : someQueries(check.rules.share);
  return (
    `largest difference ${scientific(check.maxAbsDiff)} (${scientific(check.maxRelDiff)} of the largest output)${loss} ` +
    `against the uncut model on ${part}${check.float64 ? ', in float64' : ''}${spread}${cores}; ` +
    `masks and biases at ${check.rules.tokens} tokens, ${at}`
  );
}

const someQueries = (share?: number): string =>
  share === undefined ? 'some queries' : `${percent(share)} of the queries`;

const percent = (share: number): string => (share < 0.01 ? 'less than 1%' : `${Math.floor(100 * share)}%`);

/** Said where the mark is missing. */
export function notVerified(check: TextCheck): string {
  const rules =
    check.rules.tokens < check.of
      ? ` Its masks and biases could be compared up to ${check.rules.tokens} tokens only.`
      : '';
  return `Not verified: on the first ${check.tokens} tokens of this text the cut model departs from the model by ${scientific(check.maxAbsDiff)} (${scientific(check.maxRelDiff)} of the largest output).${rules}`;
}
