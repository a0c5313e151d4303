import { html, nothing, type TemplateResult } from 'lit';
import type { ValueWeights } from '../../shared/protocol/engine';
import { store } from '../host/store';
import { t } from '../host/words';
import { segmented } from './controls';

/** Whether a head's links are its attention alone, or weighed by what the keys' values give. A report holds attention only. */
export const byValue = (): boolean =>
  store.asksDense && store.option<string>('head', 'weigh', 'attention') === 'values';

/** For requests: nothing where attention alone is asked for. */
export const askedByValue = (): { byValue?: true } => (byValue() ? { byValue: true } : {});

export function weighingSwitch(): TemplateResult | typeof nothing {
  if (!store.asksDense) return nothing;
  return segmented(
    t('Weigh by'),
    byValue() ? 'values' : 'attention',
    [
      { value: 'attention', label: t('attention') },
      { value: 'values', label: t('attention × value') },
    ],
    value => store.setOption('head', 'weigh', value),
  );
}

/** The name of a cell's number. */
export const weightName = (): string => (byValue() ? t('value-weighted share') : t('mass'));

/** The same as the head of a saved column. */
export const weightColumn = (): string => (byValue() ? 'value-weighted share' : 'mass');

/** What the numbers are, where they are not the attention itself; `weights` while they are not known. */
export function weighingWords(weights: ValueWeights | null): TemplateResult | typeof nothing {
  if (!byValue()) return nothing;
  return html`<span class="muted"
    >${
      weights?.projected === false
        ? t(
            'Value-weighted: each weight times the length of its key’s value vector (no linear projection follows it); the shares of a query sum to 100 %.',
          )
        : t(
            'Value-weighted: each weight times the length of what its key’s value adds to the residual stream; the shares of a query sum to 100 %.',
          )
    }</span
  >`;
}
