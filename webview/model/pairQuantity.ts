/** What the text of A is coloured by: every difference is B - A. */
import { changeLimit } from '../../shared/protocol/host';
import { percent, signed } from '../../shared/numbers';
import { t } from '../host/words';
import { nats } from './amounts';
import type { Quantity } from './quantity';

/** A difference of shares, with its sign. */
export const change = (value: number) =>
  value > 0 ? `+${percent(value)}` : value < 0 ? `−${percent(-value)}` : percent(0);

export type Titled = Quantity & { title: string };

function around(
  limit: number,
  write: (value: number) => string,
): Pick<Quantity, 'place' | 'diverging'> & { ticks: Quantity['legend']['ticks'] } {
  return {
    place: value => 0.5 + 0.5 * Math.max(-1, Math.min(1, value / limit)),
    diverging: true,
    ticks: [
      { at: 0, label: `−${write(limit)}` },
      { at: 0.5, label: '0' },
      { at: 1, label: `+${write(limit)}` },
    ],
  };
}

export function lossChange(values: Float32Array): Titled {
  const { ticks, ...scale } = around(changeLimit(values), nats);
  const legend = { label: t('loss, B − A'), ticks };
  return {
    ...scale,
    values,
    legend,
    title: t('What each token costs more or less'),
    say: value => t('{0} nats', signed(value)),
  };
}

export function attentionChange(values: Float32Array): Titled {
  const { ticks, ...scale } = around(changeLimit(values), percent);
  const legend = { label: t('attention, B − A'), ticks };
  return { ...scale, values, legend, title: t('What the pinned token looks at more or less'), say: change };
}

export function elsewhere(values: Float32Array): Titled {
  return {
    values,
    place: value => value,
    diverging: false,
    legend: { label: t('goes elsewhere'), ticks: [0, 0.5, 1].map(at => ({ at, label: percent(at) })) },
    title: t('Where the two look differently'),
    say: percent,
  };
}
