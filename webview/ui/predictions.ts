import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { LikelyToken, Prediction } from '../../shared/protocol/engine';
import type { ChangeSource } from '../../shared/protocol/host';
import { percent, tokenLabel } from '../../shared/numbers';
import { changeKey, changeSubject, explained } from '../model/changes';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { Component } from './component';
import { requestState } from './states';
import { bars, barStyles } from './tokenPanel';
import { rich, t } from '../host/words';

/** What the model predicts at the pinned token, as it is and under the change that is looked at. */
@customElement('ai-predictions')
export class Predictions extends Component {
  static override styles = [...Component.styles, barStyles];
  @property({ attribute: false }) change: ChangeSource | null = null;
  private readonly answer = new Remote(this, 'analysis/predictions', 60);

  /** A report has no model to ask; a decoder with a text of its own predicts that one, whose tokens are not pinned. */
  private get token(): number | null {
    const { token } = store.selection;
    const told = store.summary?.loss && !store.report && !store.target;
    return told && token !== null && token < (store.tokens?.ids.length ?? 0) ? token : null;
  }

  override willUpdate(): void {
    const { token, change } = this;
    const { id } = store;
    this.answer.want(
      id && token !== null ? { id, tokens: [token], ...(change ? explained(change) : {}), count: 5 } : null,
    );
  }

  override render(): TemplateResult | typeof nothing {
    const { token, change } = this;
    if (token === null) return nothing;
    const name = tokenLabel(store.tokens?.text[token] ?? '', 18);
    const found = this.answer.answers?.tokens[0] === token ? this.answer.value?.[0] : undefined;
    return html`<h2>
        ${store.summary?.loss?.masked ? html`${rich('In place of “{0}”', name)}` : html`${rich('Next after “{0}”', name)}`}
        <span class="muted">${t('propagated')}</span>
      </h2>
      ${found ? shown(found, change) : requestState(this.answer, t('Looking.'))}`;
  }
}

function shown({ before, after, came }: Prediction, change: ChangeSource | null): TemplateResult {
  return html`<div class="muted">
      ${after ? t('as the model is') : t('likeliest')}${stands(came?.before, came)}
    </div>
    ${likely(before)}
    ${
      after && change
        ? html`<div class="muted" data-change=${changeKey(change)}>
              ${changeSubject(change)}${stands(came?.after ?? undefined, came)}
            </div>
            ${likely(after)}`
        : nothing
    }`;
}

/** How likely what stands there was. */
function stands(probability: number | undefined, came: Prediction['came']): string {
  return came && probability !== undefined
    ? t('; “{0}” comes, {1}', tokenLabel(came.text, 14), percent(probability))
    : '';
}

const likely = (list: readonly LikelyToken[]) =>
  bars(
    list.map(({ text, probability }) => ({ name: tokenLabel(text, 14), value: probability })),
    1,
  );
