import { css, html, nothing } from 'lit';
import { customElement } from 'lit/decorators.js';
import { certaintyWords } from '../model/certainty';
import { changeInWords } from '../model/changeNumbers';
import { interventionInWords } from '../model/changes';
import { percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { store } from '../host/store';
import { said, t } from '../host/words';
import { Component } from './component';

/** What is taken away from the attention, each with its way back, and what that costs. Nothing while there is none. */
@customElement('ai-interventions')
export class InterventionList extends Component {
  static override styles = [
    ...Component.styles,
    css`
      ul {
        list-style: none;
        margin: 0 0 4px;
        padding: 0;
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
      }
      li {
        display: flex;
        align-items: baseline;
        gap: 4px;
        padding: 1px 2px 1px 6px;
        border: 1px solid var(--line);
        border-radius: 3px;
        max-width: 100%;
      }
      li > span {
        overflow-wrap: anywhere;
      }
      li button.plain {
        padding: 0 4px;
      }
      .buttons {
        display: flex;
        gap: 12px;
      }
    `,
  ];

  override render() {
    const { list, result, running, notice } = store.interventions;
    const told = notice ? html`<p role="status">${notice}</p>` : nothing;
    if (list.length === 0) return told;
    const effect = result?.effect;
    return html`<section aria-label=${t('Taken away from the attention')}>
      <p>
        ${t('Taken away:')}
        ${
          effect
            ? html`<strong title=${exact(effect.delta, effect.measure === 'loss' ? 'nats' : '')}
                  >${changeInWords(effect.delta, effect.measure)}</strong
                >
                ${effect.measure === 'loss' ? t('loss per token') : t('turn of the output')}
                <span class="muted"
                  >(${[certaintyWords(effect.perToken), t('propagated')].filter(Boolean).join('; ')})</span
                >`
            : running !== null
              ? html`<span class="muted" role="status">${t('the text runs on')} (${percent(running)})</span>`
              : nothing
        }
      </p>
      <ul>
        ${list.map(
          one =>
            html`<li>
              <span>${interventionInWords(one)}</span>
              ${
                store.report
                  ? nothing
                  : html`<button
                      class="plain"
                      data-no-export
                      title=${t('Give it back')}
                      aria-label=${t('Give back: {0}', interventionInWords(one))}
                      @click=${() => store.host.send({ type: 'intervene', toggle: one })}
                    >
                      ×
                    </button>`
              }
            </li>`,
        )}
      </ul>
      ${told}${result?.notes.map(note => html`<p class="muted">${said(note)}</p>`) ?? nothing}
      ${store.report ? nothing : this.buttons()}
    </section>`;
  }

  private buttons() {
    return html`<div class="buttons" data-no-export>
      <button class="link" @click=${() => store.host.send({ type: 'run', command: 'undoIntervention' })}>
        ${t('Undo the last')}
      </button>
      <button class="link" @click=${() => store.host.send({ type: 'run', command: 'clearInterventions' })}>
        ${t('Clear all')}
      </button>
      ${
        store.place === 'side'
          ? html`<button class="link" @click=${() => store.host.send({ type: 'openView', view: 'text' })}>
              ${t('Show on the text')}
            </button>`
          : nothing
      }
    </div>`;
  }
}
