/** The likeliest tokens at a token of the text, before and after a change of the attention. */
import { OWN_PREDICTIONS, type Analysis } from './analysis';
import { assignedModel } from './changedRun';
import { interventionRun } from './interventions';
import { RefusedError, refused, told } from '../errors';
import { denseOutput } from '../attention/kernels/dense';
import type { ModelOutput } from '../model/cut/cutModel';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { LikelyToken, Prediction, PredictionParams } from '../../shared/protocol/engine';

const COUNT = 5;
/** Of one answer. */
const MOST_TOKENS = 4096;
const MOST_LIKELY = 1000;

type Given = Omit<PredictionParams, 'id'>;

/** @throws RefusedError where the model predicts no tokens */
export async function predictions(
  analysis: Analysis,
  params: Given,
  tokenizer: Tokenizer,
  signal: AbortSignal,
): Promise<Prediction[]> {
  const { tokens, count = COUNT } = params;
  const of = predicted(analysis);
  const { ids } = analysis.written;
  const missing = tokens.find(token => !(Number.isInteger(token) && token >= 0 && token < ids.length));
  if (missing !== undefined) throw refused('noToken', missing);
  if (tokens.length > MOST_TOKENS || !(Number.isInteger(count) && count >= 1 && count <= MOST_LIKELY))
    throw new RefusedError(
      told`At most ${MOST_TOKENS} tokens and ${MOST_LIKELY} predictions of each are told.`,
    );
  const dense = await ownRows(analysis, signal);
  const changed = isChange(params) ? await changedRows(analysis, params, signal) : null;
  const found = [];
  for (const token of tokens) {
    const row = of === 'next' ? token : (token + ids.length - 1) % ids.length;
    const next = of === 'next' ? ids[token + 1] : ids[token];
    const before = probabilities(await dense.read(row, row + 1));
    const after = changed && probabilities(await changed.read(row, row + 1));
    found.push({ token, next, before, after });
  }
  const asked = found.flatMap(({ next, before, after }) => [
    ...likeliest(before, count),
    ...(after ? likeliest(after, count) : []),
    ...(next === undefined ? [] : [next]),
  ]);
  const distinct = [...new Set(asked)];
  const { tokens: table } = await tokenizer.describe(Int32Array.from(distinct));
  const textOf = (id: number) => table.text[distinct.indexOf(id)] ?? '';
  const named = (all: Float64Array): LikelyToken[] =>
    likeliest(all, count).map(id => ({ id, text: textOf(id), probability: all[id]! }));
  return found.map(({ token, next, before, after }) => ({
    token,
    of,
    before: named(before),
    after: after && named(after),
    came:
      next === undefined
        ? null
        : { id: next, text: textOf(next), before: before[next]!, after: after && after[next]! },
  }));
}

function predicted(analysis: Analysis): Prediction['of'] {
  const { predicts } = analysis;
  if (typeof predicts === 'object') throw new RefusedError(predicts.none);
  return predicts;
}

const isChange = ({ heads = [], interventions = [] }: Given) => heads.length + interventions.length > 0;

/** Kept from the analysis while there is room for it. */
function ownRows(analysis: Analysis, signal: AbortSignal): Promise<ModelOutput> {
  const { standIn } = analysis;
  const run = (own: AbortSignal) =>
    analysis.predict(
      async ({ core }, input) =>
        standIn ? standIn(core, input, own) : denseOutput(input, analysis.context(own)),
      { signal: own },
    );
  return analysis.shared(OWN_PREDICTIONS, run, signal);
}

function changedRows(
  analysis: Analysis,
  { heads = [], interventions = [] }: Given,
  signal: AbortSignal,
): Promise<ModelOutput> {
  if (heads.length > 0 && interventions.length > 0)
    throw new RefusedError('A plan and other changes are asked for one at a time.');
  return analysis.shared(
    `predicted|${JSON.stringify({ heads, interventions })}`,
    async own =>
      heads.length > 0
        ? assignedModel(analysis, heads, own)
        : (await interventionRun(analysis, interventions, own)).output,
    signal,
  );
}

/** The softmax of a row of logits, in float64. */
function probabilities(logits: Float32Array): Float64Array {
  let top = -Infinity;
  for (const logit of logits) top = Math.max(top, logit);
  const all = Float64Array.from(logits, logit => Math.exp(logit - top));
  const sum = all.reduce((total, one) => total + one, 0);
  return all.map(one => one / sum);
}

function likeliest(all: Float64Array, count: number): number[] {
  const best: number[] = [];
  for (let id = 0; id < all.length; id++) {
    if (best.length === count && all[id]! <= all[best[count - 1]!]!) continue;
    let at = best.length;
    while (at > 0 && all[id]! > all[best[at - 1]!]!) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best;
}
