import { html, nothing, type TemplateResult } from 'lit';
import { percent } from '../../shared/numbers';
import { verdictOf } from '../../shared/uncertainty';
import { t } from '../host/words';
import { exact, interval, nats } from '../model/amounts';
import { shiftPerRow, type LossPair } from '../model/pair';
import type { PairSide } from '../model/pairSides';
import { sampledRows } from '../map/sampledRows';
import type { PairTiles } from './pairMaps';

/** The sentences above the two sides: each says the whole point of what is shown. */

export function lossLead(losses: LossPair): TemplateResult {
  const delta = losses.b - losses.a;
  const { interval: range } = losses;
  const unsure = range !== null && verdictOf(range) === 'undecided';
  const size = html`<strong title=${exact(delta, 'nats')}>${nats(Math.abs(delta))}</strong>`;
  const sentence = unsure
    ? html`${t('Whether A or B costs more cannot be told on this text:')} B − A = ${size}`
    : html`${delta >= 0 ? t('B costs more per token than A:') : t('B costs less per token than A:')} ${size}`;
  const sure = range ? t('95 % interval {0}', interval(range)) : t('too few tokens for an interval');
  const how = losses.paired
    ? t('on {0} tokens that both have', losses.paired)
    : t('unpaired: the texts are not the same');
  return html`${sentence} <span class="muted">(${sure}; ${how})</span>`;
}

/** How much attention the one puts elsewhere than the other; null while the maps are not there. */
export function headLead(
  a: PairSide,
  b: PairSide,
  { a: one, b: two, level }: PairTiles,
): TemplateResult | null {
  const shift = one && two && shiftPerRow(one, two, level);
  if (!shift) return null;
  const mean = shift.reduce((sum, value) => sum + value, 0) / Math.max(1, shift.length);
  const share = html`<strong title=${exact(mean * 100, '%')}>${percent(mean)}</strong>`;
  return html`${t('{0} and {1}', a.title, b.title)}: ${level > 0 ? t('at least') : nothing} ${share}
    ${t('of the attention goes to other tokens.')}
    <span class="muted"
      >${level > 0 ? t('(mean over queries, in blocks of {0} tokens)', 2 ** level) : t('(mean over queries)')}
      ${sampledRows(one, level) ?? nothing}</span
    >`;
}
