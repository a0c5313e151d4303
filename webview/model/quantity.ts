import type { RunEffect, TokenTable } from '../../shared/protocol/engine';
import { changeLimit, changePerToken, type MassScale } from '../../shared/protocol/host';
import { changeInWords } from './changeNumbers';
import { lutColour, massAt, niceCeiling, scaleMass, type Rgb } from '../draw/colour';
import { number, percent } from '../../shared/numbers';
import { nats } from './amounts';
import type { Theme } from '../draw/theme';
import { t } from '../host/words';

/** What a text is coloured by: a number for each token, and how to read it. */
export interface Quantity {
  /** [tokens] */
  values: Float32Array;
  /** 0..1 on the colour map. */
  place(value: number): number;
  /** Zero is in the middle of the map, which is the background. */
  diverging: boolean;
  legend: { label: string; ticks: { at: number; label: string }[] };
  say(value: number): string;
}

export function changeQuantity(effect: RunEffect, tokens: number): Quantity {
  const { measure } = effect;
  const limit = changeLimit(effect.perToken);
  const values = changePerToken(effect, tokens);
  const say = (value: number) => changeInWords(value, measure);
  if (measure === 'output') return { ...upTo(limit, t('turn of the output'), ''), values, say };
  return {
    values,
    place: value => 0.5 + 0.5 * Math.max(-1, Math.min(1, value / limit)),
    diverging: true,
    legend: {
      label: t('change of the loss'),
      ticks: [
        { at: 0, label: `−${number(limit)}` },
        { at: 0.5, label: '0' },
        { at: 1, label: t('+{0} nats', number(limit)) },
      ],
    },
    say,
  };
}

/** `perToken` [tokens - 1]: of the token after. */
export function lossQuantity(perToken: Float32Array, tokens: number): Quantity {
  const values = changePerToken({ measure: 'loss', delta: 0, perToken }, tokens);
  return { ...upTo(changeLimit(perToken), t('loss'), ` ${t('nats')}`), values, say: nats };
}

/** A linear scale from nothing to the limit. */
function upTo(limit: number, label: string, unit: string): Pick<Quantity, 'place' | 'diverging' | 'legend'> {
  const ticks = [0, 0.5, 1].map(at => ({ at, label: `${number(at * limit)}${at === 1 ? unit : ''}` }));
  return {
    place: value => Math.max(0, Math.min(1, value / limit)),
    diverging: false,
    legend: { label, ticks },
  };
}

export function massQuantity(row: Float32Array, scale: MassScale, label = t('attention')): Quantity {
  const largest = niceCeiling(row.reduce((a, b) => Math.max(a, b), 0));
  return {
    values: row,
    place: mass => scaleMass(mass, largest, scale),
    diverging: false,
    legend: {
      label,
      ticks: [0, 0.5, 1].map(at => ({ at, label: percent(massAt(at, largest, scale)) })),
    },
    say: percent,
  };
}

/** The tokens with the largest values that have a colour to be seen, largest first. */
export function largestTokens(
  { values, place, diverging }: Quantity,
  { special }: TokenTable,
  count: number,
): number[] {
  const worth = diverging ? 0.52 : 0.02;
  const found: number[] = [];
  values.forEach((value, token) => {
    if (place(value) >= worth && !special[token]) found.push(token);
  });
  return found.sort((a, b) => values[b]! - values[a]!).slice(0, count);
}

/** Too little colour for a sign where the text has none. */
export function isFaint({ place, diverging }: Quantity, value: number): boolean {
  return diverging ? Math.abs(place(value) - 0.5) < 0.08 : place(value) < 0.25;
}

export function colourOf({ place, diverging }: Quantity, look: Theme): (value: number) => Rgb {
  const table = diverging ? look.diverging : look.sequential;
  return value => lutColour(table, place(value));
}
