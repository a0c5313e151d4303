/** What changed from one analysis to another: in each head, in the loss, token by token where these are the same. */
import { RefusedError } from '../errors';
import type { ReadAnalysis } from '../export/readAnalysis';
import type { Interval } from '../../shared/protocol/engine';
import { differenceInterval, meanInterval } from '../../shared/uncertainty';

/** A figure of both, and what it changed by: b - a. */
export interface Changed {
  a: number;
  b: number;
  delta: number;
}

/** Mean losses. `paired`: token by token of the same text, else of two texts by themselves; no interval of too few tokens. */
export interface LossDifference extends Changed {
  paired: boolean;
  interval: Interval | null;
}

const MEASURES = ['entropy', 'meanDistance', 'span90', 'span95', 'span99'] as const;

export type HeadDifference = { core: number; layer: number; head: number } & Record<
  (typeof MEASURES)[number],
  Changed
> & { role: { a: string | null; b: string | null } };

export interface MechanismDifference {
  name: string;
  settings: { a: string; b: string };
  recall: Changed | null;
  outputError: Changed;
  /** Share of the dense pairs. */
  pairs: Changed;
  /** Of the model with it in place of dense attention; null unless both are propagated. */
  loss: LossDifference | null;
}

export interface Difference {
  same: { model: boolean; text: boolean; tokens: boolean };
  loss: LossDifference | null;
  /** Tokens whose loss is known in both, in the order of the text. */
  tokens: ({ token: number; text: string } & Changed)[] | null;
  heads: HeadDifference[] | null;
  mechanisms: MechanismDifference[];
  notes: string[];
}

/**
 * @throws RefusedError where nothing can be compared: neither the model nor the tokens are the same, or the parts that are
 * have no counterpart.
 */
export function diffOf(a: ReadAnalysis, b: ReadAnalysis): Difference {
  const losses = a.loss !== null && b.loss !== null;
  const text = a.provenance?.inputs[0] !== undefined && hashesOf(a) === hashesOf(b);
  const tokens = losses ? sameTokens(a.loss!.tokens, b.loss!.tokens) : text && a.tokens === b.tokens;
  const same = { model: sameModel(a, b), text, tokens };
  const alike = shapeOf(a) === shapeOf(b);
  if (!same.model && !tokens)
    throw new RefusedError(
      'These are two models, and two texts or one in different tokens: no difference between them has a meaning.',
    );
  if (losses && a.loss!.masked !== b.loss!.masked)
    throw new RefusedError(
      'One loss is that of hidden tokens, the other that of the next ones: they cannot be compared.',
    );
  if (!alike && !losses) throw new RefusedError('The two models have other heads, and not both have a loss.');
  const notes: string[] = [];
  if (!alike) notes.push('The models have other heads, so only losses are compared.');
  if (!losses) notes.push('Not both have a loss.');
  else if (!same.tokens)
    notes.push('The tokens are not the same: the losses of two texts are compared, unpaired.');
  const loss = losses ? lossDifference(a.loss!, b.loss!, tokens) : null;
  return {
    same,
    loss,
    tokens: losses && tokens ? tokenDifferences(a.loss!, b.loss!) : null,
    heads: alike ? headDifferences(a, b) : null,
    mechanisms: mechanismDifferences(a, b, tokens),
    notes,
  };
}

const shapeOf = ({ layers }: ReadAnalysis) =>
  layers.map(({ kind, heads }) => `${kind} ${heads.length}`).join(', ');
const hashesOf = ({ provenance }: ReadAnalysis) =>
  (provenance?.inputs ?? []).map(({ sha256 }) => sha256).join();

/** By the hash of its files; without one by what is told of it. */
function sameModel(a: ReadAnalysis, b: ReadAnalysis): boolean {
  const [one, other] = [a.provenance?.model?.sha256, b.provenance?.model?.sha256];
  if (one !== undefined && other !== undefined) return one === other;
  return a.model.name === b.model.name && shapeOf(a) === shapeOf(b);
}

function sameTokens(a: readonly string[], b: readonly string[]): boolean {
  return a.length > 0 && a.length === b.length && a.every((token, at) => token === b[at]);
}

interface Loss {
  mean: number;
  perToken: readonly number[];
}

const changed = (a: number, b: number): Changed => ({ a, b, delta: b - a });

function lossDifference(a: Loss, b: Loss, paired: boolean): LossDifference {
  const interval = paired
    ? meanInterval([b.perToken.map((value, at) => value - a.perToken[at]!)])
    : differenceInterval(a.perToken, b.perToken);
  return { ...changed(a.mean, b.mean), paired, interval };
}

/** The last tokens of the text are those with a loss. */
function tokenDifferences(a: NonNullable<ReadAnalysis['loss']>, b: Loss): Difference['tokens'] {
  return a.tokens.map((text, at) => ({ token: at + 1, text, ...changed(a.perToken[at]!, b.perToken[at]!) }));
}

function headDifferences(a: ReadAnalysis, b: ReadAnalysis): HeadDifference[] {
  return a.layers.flatMap(({ core, layer, heads }, at) =>
    heads.map((one, h) => {
      const other = b.layers[at]!.heads[h]!;
      const measures = Object.fromEntries(MEASURES.map(name => [name, changed(one[name], other[name])]));
      const role = { a: one.roles[0]?.role ?? null, b: other.roles[0]?.role ?? null };
      return {
        core,
        layer,
        head: one.head,
        ...(measures as Record<(typeof MEASURES)[number], Changed>),
        role,
      };
    }),
  );
}

/** Those of the same setting, and those that are alone of their name in both. */
function mechanismDifferences(a: ReadAnalysis, b: ReadAnalysis, paired: boolean): MechanismDifference[] {
  const alone = ({ mechanisms }: ReadAnalysis, name: string) =>
    mechanisms.filter(one => one.name === name).length === 1;
  return a.mechanisms.flatMap(one => {
    const other =
      b.mechanisms.find(each => each.setting === one.setting) ??
      (alone(a, one.name) && alone(b, one.name)
        ? b.mechanisms.find(each => each.name === one.name)
        : undefined);
    if (!other) return [];
    const [first, second] = [changedLoss(a, one), changedLoss(b, other)];
    return {
      name: one.name,
      settings: { a: one.setting, b: other.setting },
      recall: one.recall === null || other.recall === null ? null : changed(one.recall, other.recall),
      outputError: changed(one.outputError, other.outputError),
      pairs: changed(one.pairs / one.densePairs, other.pairs / other.densePairs),
      loss: first && second ? lossDifference(first, second, paired && first.whole && second.whole) : null,
    };
  });
}

/** The loss of the model with a mechanism. */
function changedLoss(
  { loss }: ReadAnalysis,
  { deltaLoss, deltaLossPerToken }: ReadAnalysis['mechanisms'][number],
): (Loss & { whole: boolean }) | null {
  if (!loss || deltaLoss === null) return null;
  const whole = deltaLossPerToken.length > 0 && deltaLossPerToken.length === loss.perToken.length;
  const perToken = whole ? loss.perToken.map((value, at) => value + deltaLossPerToken[at]!) : [];
  return { mean: loss.mean + deltaLoss, perToken, whole };
}
