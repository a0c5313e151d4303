import type { ModelInfo, TextCheck } from '../../../shared/protocol/engine';
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
const LOSSES = 4;

/** What the model takes: arithmetic for each token and each pair of tokens; columns of its output, and heads of a layer. */
export interface Work {
  perToken: number;
  perPair: number;
  width: number;
  heads: number;
}

/**
 * How many of the text's first tokens the uncut model reads, for a `share` of the arithmetic of the whole text. Operations
 * are counted, not timed: the same text is always compared as far.
 */
export function windowOf(tokens: number, share: number, { perToken, perPair, width, heads }: Work): number {
  const budget = share * (tokens * perToken + tokens ** 2 * perPair);
  const affordable = Math.floor((2 * budget) / (perToken + Math.sqrt(perToken ** 2 + 4 * perPair * budget)));
  const fits = Math.min(Math.floor(MOST_VALUES / width), Math.floor(Math.sqrt(MOST_PAIRS / heads)));
  return Math.max(1, Math.min(tokens, fits, Math.max(LEAST, affordable)));
}

/** The arithmetic of a model: a product with every weight for each token, two with every head's rows for each pair. */
export function workOf(
  { parameters, cores, heads }: Pick<ModelInfo, 'parameters' | 'cores' | 'heads'>,
  width: number,
): Work {
  const perPair = cores.reduce((sum, core) => sum + 4 * core.heads * core.dim, 0);
  return { perToken: 2 * parameters, perPair, width, heads };
}

export const firstTokens = ({ ids, target }: Ids, tokens: number): Ids => ({
  ids: ids.subarray(0, tokens),
  target: target && target.subarray(0, tokens),
});

/**
 * The first rows of the cut model's output against all of the uncut one's, read once, in blocks. With the text as `written`,
 * also the largest difference of the loss of some tokens, in nats.
 */
export async function compareFirstRows(
  output: ModelOutput,
  expected: Float32Array,
  width: number,
  written: Int32Array | null,
): Promise<{ difference: Difference; lossDiff: number | null }> {
  const comparison = new OutputComparison(expected, width);
  const rows = expected.length / width;
  const predicting = written === null ? 0 : Math.min(rows, written.length) - 1;
  const some = Math.min(LOSSES, predicting);
  const chosen = Array.from({ length: Math.max(0, some) }, (_, i) => Math.floor((i * predicting) / some));
  let lossDiff: number | null = predicting < 1 ? null : 0;
  const step = Math.max(1, Math.floor(2 ** 20 / width));
  for (let from = 0; from < rows; from += step) {
    const block = await output.read(from, Math.min(rows, from + step));
    comparison.add(block);
    for (const row of chosen.filter(at => at >= from && at < from + step)) {
      const own = lossOf(block.subarray((row - from) * width, (row - from + 1) * width), written![row + 1]!);
      const theirs = lossOf(expected.subarray(row * width, (row + 1) * width), written![row + 1]!);
      if (!(Math.abs(own - theirs) <= lossDiff!)) lossDiff = Math.abs(own - theirs);
    }
  }
  return { difference: comparison.result(), lossDiff };
}

function lossOf(logits: Float32Array, next: number): number {
  let max = -Infinity;
  for (let t = 0; t < logits.length; t++) if (logits[t]! > max) max = logits[t]!;
  let sum = 0;
  for (let t = 0; t < logits.length; t++) sum += Math.exp(logits[t]! - max);
  return max + Math.log(sum) - logits[next]!;
}

/** The first row that holds something else than a finite number, and what; null = none. */
export function firstNotFinite(
  values: Float32Array,
  width: number,
): { row: number; what: 'NaN' | 'infinity' } | null {
  let at = 0;
  // Less itself, only a finite number is 0.
  while (at < values.length && values[at]! - values[at]! === 0) at++;
  if (at === values.length) return null;
  return { row: Math.floor(at / width), what: Number.isNaN(values[at]) ? 'NaN' : 'infinity' };
}

/** What is told of a comparison. */
export function textCheck(
  difference: Difference,
  rules: RulesAtLength,
  what: Pick<TextCheck, 'tokens' | 'lossDiff' | 'spread' | 'cores' | 'float64' | 'holds'>,
): TextCheck {
  const of = Math.max(...rules.tokens);
  return {
    ...what,
    of,
    maxAbsDiff: difference.largest,
    maxRelDiff: difference.largest / (difference.scale || 1),
    medianAbsDiff: difference.median,
    rules: {
      tokens: rules.upTo,
      everyRow: rules.share === 1,
      ...(rules.share < 1 && { share: rules.share }),
    },
  };
}
