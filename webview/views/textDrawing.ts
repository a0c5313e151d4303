import type { Intervention, RunEffect, TokenTable } from '../../shared/protocol/engine';
import type { ChangeSource } from '../../shared/protocol/host';
import { csv, number, tokenLabel } from '../../shared/numbers';
import type { Rgb } from '../draw/colour';
import { store, type Side } from '../host/store';
import { t } from '../host/words';
import { changeSubject } from '../model/changes';
import { headName } from '../model/names';
import type { Quantity } from '../model/quantity';
import type { Piece } from '../model/textPieces';

/** What the text can be coloured by. */
export const SHOWS = ['change', 'loss', 'from', 'to', 'rollout'] as const;
export type Show = (typeof SHOWS)[number];

/** What is drawn; made anew only when something of it changes, so that pointing at tokens redraws none of them. */
export interface Drawing {
  side: Side;
  tokens: TokenTable | null;
  pieces: readonly Piece[];
  quantity: Quantity | null;
  listed: readonly number[];
  ranks: ReadonlyMap<number, number>;
  valueColour: (value: number) => Rgb;
  colour: (token: number) => Rgb | null;
  words: (token: number) => string;
  faint: (token: number) => boolean;
  gone: (token: number) => boolean;
}

/** A token and its numbers, on one line; `effect` where they are its change. */
export function tokenWords(
  tokens: TokenTable | null,
  quantity: Quantity | null,
  effect: RunEffect | null,
  token: number,
): string {
  const name = `“${tokenLabel(tokens?.text[token] ?? '')}” (${token})`;
  if (!quantity) return name;
  const value = quantity.values[token] ?? 0;
  const loss = effect?.measure === 'loss' ? store.summary?.loss?.perToken[token - 1] : undefined;
  if (loss === undefined) return `${name}: ${quantity.say(value)}`;
  return t('{0}: loss {1} → {2} nats ({3})', name, number(loss), number(loss + value), quantity.say(value));
}

export function isBlocked(interventions: readonly Intervention[], side: Side, token: number): boolean {
  return interventions.some(
    one =>
      one.kind === 'span' &&
      token >= one.from &&
      token < one.to &&
      (one.core === null ? (one.side ?? 'text') : store.sides(one.core).keys) === side,
  );
}

// ---------------------------------------------------------------- saving

export function textCaption(show: Show, change: ChangeSource | null, effect: RunEffect | null): string {
  const head = store.shownHead ? headName(store.shownHead) : t('all heads');
  const token = store.selection.token ?? '';
  switch (show) {
    case 'change':
      return change
        ? t(
            'Each token by how its {0} changes. {1}.',
            effect?.measure === 'output' ? 'output' : 'loss',
            changeSubject(change),
          )
        : '';
    case 'loss':
      return t('Each token by its loss.');
    case 'from':
      return t('Each token by the attention that token {0} gives it in {1}.', token, head);
    case 'to':
      return t('Each token by the attention that it gives token {0} in {1}.', token, head);
    case 'rollout':
      return t('Each token by its share of token {0}, by attention rollout over all layers.', token);
  }
}

/** One row per token; `loss`: of the text that is predicted. */
export function textCsv(
  show: Show,
  { quantity, tokens }: Drawing,
  change: ChangeSource | null,
  effect: RunEffect | null,
  loss: Float32Array | undefined,
): string | null {
  if (!quantity || !tokens) return null;
  const losses = show === 'change' ? loss : undefined;
  return csv(
    ['token', 'start', 'end', 'text', column(show, change, effect), ...(losses ? ['loss [nats]'] : [])],
    tokens.text.map((text, t) => [
      t,
      tokens.start[t],
      tokens.end[t],
      text,
      quantity.values[t],
      ...(losses ? [t > 0 ? losses[t - 1] : null] : []),
    ]),
  );
}

function column(show: Show, change: ChangeSource | null, effect: RunEffect | null): string {
  const { token } = store.selection;
  if (show === 'change' && change)
    return `${effect?.measure === 'loss' ? 'loss change [nats]' : 'output turn [1 - cosine]'}: ${changeSubject(change)}`;
  if (show === 'loss') return 'loss [nats]';
  return show === 'rollout' ? `rollout of token ${token}` : `attention ${show} token ${token}`;
}
