import type { TextCheck } from '../../../shared/protocol/engine';
import type { ModelOutput } from '../cut/cutModel';
import type { Ids } from '../cut/feeds';
import { OutputComparison, type Difference } from './proof';
import type { RulesAtLength } from './lengthChecks';

/** Tokens that are compared whatever the budget says, as far as the text goes. */
const LEAST = 24;
/** Values of the uncut model's output, and score pairs of one of its layers, that are held at once. */
const MOST_VALUES = 2 ** 25;
const MOST_PAIRS = 2 ** 26;
/** Rows whose loss is compared. */
const LOSSES = 16;

/**
 * How many of the text's first tokens the uncut model reads, for `milliseconds` that it may take. `rate`: milliseconds per
 * token, as measured when the model was loaded.
 */
export function windowOf(
  tokens: number,
  milliseconds: number,
  { rate, width, heads }: { rate: number; width: number; heads: number },
): number {
  const affordable = Math.floor(milliseconds / Math.max(rate, 1e-3));
  const fits = Math.min(Math.floor(MOST_VALUES / width), Math.floor(Math.sqrt(MOST_PAIRS / heads)));
  return Math.max(1, Math.min(tokens, fits, Math.max(LEAST, affordable)));
}

export const firstTokens = ({ ids, target }: Ids, tokens: number): Ids => ({
  ids: ids.subarray(0, tokens),
  target: target && target.subarray(0, tokens),
});

/** The first rows of the cut model's output against all of the uncut one's. */
export async function compareFirstRows(
  output: ModelOutput,
  expected: Float32Array,
  width: number,
): Promise<Difference> {
  const comparison = new OutputComparison(expected, width);
  const rows = expected.length / width;
  const step = Math.max(1, Math.floor(2 ** 20 / width));
  for (let from = 0; from < rows; from += step)
    comparison.add(await output.read(from, Math.min(rows, from + step)));
  return comparison.result();
}

/** Largest difference of the loss of some tokens, in nats; null where fewer than two were read. */
export async function compareLosses(
  output: ModelOutput,
  expected: Float32Array,
  width: number,
  written: Int32Array,
): Promise<number | null> {
  const rows = Math.min(expected.length / width, written.length) - 1;
  if (rows < 1) return null;
  let worst = 0;
  for (let i = 0; i < Math.min(LOSSES, rows); i++) {
    const row = Math.floor((i * rows) / Math.min(LOSSES, rows));
    const own = lossOf(await output.read(row, row + 1), written[row + 1]!);
    const theirs = lossOf(expected.subarray(row * width, (row + 1) * width), written[row + 1]!);
    if (!(Math.abs(own - theirs) <= worst)) worst = Math.abs(own - theirs);
  }
  return worst;
}

function lossOf(logits: Float32Array, next: number): number {
  let max = -Infinity;
  for (let t = 0; t < logits.length; t++) max = Math.max(max, logits[t]!);
  let sum = 0;
  for (let t = 0; t < logits.length; t++) sum += Math.exp(logits[t]! - max);
  return max + Math.log(sum) - logits[next]!;
}

/** The first row that holds something else than a finite number, and what; null = none. */
export function firstNotFinite(
  values: Float32Array,
  width: number,
): { row: number; what: 'NaN' | 'infinity' } | null {
  const at = values.findIndex(value => !Number.isFinite(value));
  if (at < 0) return null;
  return { row: Math.floor(at / width), what: Number.isNaN(values[at]) ? 'NaN' : 'infinity' };
}

/** What is told of a comparison. */
export function textCheck(
  difference: Difference,
  rules: RulesAtLength,
  what: Pick<TextCheck, 'tokens' | 'lossDiff' | 'spread' | 'float64' | 'holds'>,
): TextCheck {
  const of = Math.max(...rules.tokens);
  return {
    ...what,
    of,
    maxAbsDiff: difference.largest,
    maxRelDiff: difference.largest / (difference.scale || 1),
    medianAbsDiff: difference.median,
    rules: { tokens: rules.upTo, everyRow: rules.everyRow },
  };
}
