import { html, nothing, type TemplateResult } from 'lit';
import { progressWords } from '../model/amounts';
import { store } from '../host/store';
import { t } from '../host/words';
import { button } from './controls';

/** Starts, shows and stops the measurement of what losing each head costs: which heads matter on this text. */
export function ablationControl(): TemplateResult | typeof nothing {
  const { ablation, summary, report } = store;
  if (!summary || report) return nothing;
  if (ablation && ablation.running !== null)
    return html`<span class="control" role="status" data-no-export
      >${t('{0} of {1} heads', ablation.heads.length, store.heads.length)}
      (${progressWords(ablation.running, ablation.secondsLeft)})
      <button class="link" @click=${() => store.host.send({ type: 'cancelAblation' })}>
        ${t('Cancel')}
      </button></span
    >`;
  if (ablation?.heads.length === store.heads.length) return nothing;
  return html`${button(t('Who matters?'), () => store.host.send({ type: 'ablate' }), {
    secondary: true,
    title: t('Run the text without each head in turn and measure what the loss grows by'),
  })}${ablation?.error ? html`<span role="alert">${ablation.error}</span>` : nothing}`;
}
