import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { TokenAttribution } from '../../shared/protocol/engine';
import { csv, signed, tokenLabel } from '../../shared/numbers';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { exact, nats } from '../model/amounts';
import { headName, shortName } from '../model/names';
import { isAttributed } from './attributionControl';
import { Component } from './component';
import { choose } from './controls';
import { csvButton } from './save';
import { requestState } from './states';

type Head = TokenAttribution['heads'][number];

/** Heads that are shown on each side of nothing. */
const SHOWN = 5;

/** Which heads write toward the token that comes after the pinned one, and which against it. Asked for when it is opened. */
@customElement('ai-attribution')
export class AttributionPanel extends Component {
  static override styles = [
    ...Component.styles,
    css`
      .rows {
        display: grid;
        grid-template-columns: max-content minmax(60px, 1fr) max-content;
        gap: 3px 8px;
        align-items: center;
        margin: 4px 0 8px;
      }
      .one {
        display: contents;
      }
      .track {
        position: relative;
        height: 9px;
        border-inline: 1px solid transparent;
      }
      .track::before {
        content: '';
        position: absolute;
        inset: -2px auto -2px 50%;
        border-left: 1px solid var(--muted);
      }
      .track > div {
        position: absolute;
        height: 100%;
        background: var(--accent);
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .track > .against {
        background: var(--accent2);
      }
      .shown {
        font-weight: 600;
      }
      .rest {
        grid-column: 1 / -1;
        color: var(--muted);
      }
      .table {
        max-height: 300px;
        overflow: auto;
      }
    `,
  ];
  private readonly answer = new Remote(this, 'analysis/tokenAttribution', 120);
  private readonly predicted = new Remote(this, 'analysis/predictions', 60);
  /** The next token that is asked about, of which pinned token; null: the one that comes. */
  @state() private chosen: { token: number; id: number } | null = null;

  /** Told of decoders that predict the text itself. */
  private get token(): number | null {
    const { token } = store.selection;
    return isAttributed() && token !== null && token < (store.tokens?.ids.length ?? 0) ? token : null;
  }

  private get isOpen(): boolean {
    return store.option('text', 'attribution', false);
  }

  override willUpdate(): void {
    const { token } = this;
    const { id } = store;
    const wanted = this.isOpen && id && token !== null;
    const chosen = this.chosen?.token === token ? { answer: this.chosen.id } : {};
    this.answer.want(wanted ? { id, token, ...chosen } : null);
    this.predicted.want(wanted ? { id, tokens: [token], count: 5 } : null);
  }

  override render(): TemplateResult | typeof nothing {
    const { token, isOpen } = this;
    if (token === null) return nothing;
    const found = this.answer.answers?.token === token ? this.answer.value : null;
    return html`<h2>
        ${t('Heads that write the next token')} <span class="muted">${t('direct')}</span>
        <button
          class="link"
          aria-expanded=${isOpen}
          data-no-export
          @click=${() => store.setOption('text', 'attribution', !isOpen)}
        >
          ${isOpen ? t('Hide') : t('Show')}
        </button>
      </h2>
      ${isOpen ? html`${this.choice(token)}${found ? this.found(found) : nothing}${this.waits(found)}` : nothing}`;
  }

  private waits(found: TokenAttribution | null) {
    const waits = requestState(this.answer, t('What each head writes is looked up.'));
    return this.answer.error || !found ? waits : nothing;
  }

  private choice(token: number): TemplateResult | typeof nothing {
    const told = this.predicted.answers?.tokens[0] === token ? this.predicted.value?.[0] : undefined;
    if (!told) return nothing;
    const comes = told.came?.id;
    const likely = told.before.filter(({ id }) => id !== comes);
    const name = (text: string) => `“${tokenLabel(text, 14)}”`;
    const choices = [
      ...(told.came ? [{ value: String(comes), label: t('{0}, which comes', name(told.came.text)) }] : []),
      ...likely.map(({ id, text }) => ({ value: String(id), label: name(text) })),
    ];
    const shown = this.chosen?.token === token ? this.chosen.id : (comes ?? likely[0]?.id);
    return choose(t('toward'), String(shown), choices, value => (this.chosen = { token, id: Number(value) }));
  }

  private found({ heads, answer, logit, loss }: TokenAttribution): TemplateResult {
    const order = [...heads].sort((a, b) => b.logit - a.logit);
    const toward = order.filter(head => head.logit > 0).slice(0, SHOWN);
    const against = order.filter(head => head.logit < 0).slice(-SHOWN);
    const most = Math.max(1e-9, ...heads.map(head => Math.abs(head.logit)));
    const rest = heads.length - toward.length - against.length;
    const name = `“${tokenLabel(answer.text, 14)}”`;
    return html`<div class="muted" aria-busy=${this.answer.loading}>
        ${rich('{0} stands {1} above the mean logit and would cost {2}. What each head adds to that, past all layers behind it:', html`<strong>${name}</strong>`, html`<span title=${exact(logit)}>${signed(logit)}</span>`, html`<span title=${exact(loss, 'nats')}>${nats(loss)}</span>`)}
      </div>
      <div class="rows" role="list" aria-label=${t('Heads that write toward {0}, and against it', name)}>
        ${toward.map(head => row(head, most))}
        ${rest > 0 ? html`<div class="rest" role="listitem">${rich('{0} heads between them', rest)}</div>` : nothing}
        ${against.map(head => row(head, most))}
      </div>
      ${table(order)}
      <p class="muted">
        ${t('Exact at this token. The final norm is computed anew without each head, so the numbers do not add up to the whole.')}
        ${csvButton(t('Save what every head writes as CSV'), 'attribution', () => this.toCsv())}
      </p>`;
  }

  private toCsv(): string | null {
    const { value } = this.answer;
    if (!value) return null;
    const { token, answer, heads } = value;
    return csv(
      ['token', 'next token', 'core', 'layer', 'head', 'logit', 'loss without it [nats]'],
      heads.map(one => [token, answer.text, one.core, one.layer, one.head, one.logit, one.loss]),
    );
  }
}

const select = ({ core, head }: Head) => store.select({ core, head });

const isShown = ({ core, head }: Head) => store.shownHead?.core === core && store.shownHead.head === head;

/** A bar from the middle, to the right where the head writes toward the token. */
function row(head: Head, most: number): TemplateResult {
  const { logit, loss } = head;
  const share = (Math.abs(logit) / most) * 50;
  const side = logit >= 0 ? 'left: 50%' : 'right: 50%';
  const words = t(
    '{0}: {1} to the logit; without it the loss here grows by {2} nats',
    headName(head),
    signed(logit),
    signed(loss),
  );
  return html`<div class="one" role="listitem">
    <button
      class=${isShown(head) ? 'link shown' : 'link'}
      title=${words}
      @mouseenter=${() => store.previewOf(head)}
      @mouseleave=${() => store.previewOf(null)}
      @click=${() => select(head)}
    >
      ${shortName(head)}
    </button>
    <span class="track" aria-hidden="true"
      ><div class=${logit >= 0 ? 'toward' : 'against'} .style=${`${side}; width: ${share}%`}></div
    ></span>
    <span class="number" title=${exact(logit)}>${signed(logit)}</span>
  </div>`;
}

function table(heads: readonly Head[]): TemplateResult {
  return html`<details>
    <summary>${t('All heads as a table')}</summary>
    <div class="table" tabindex="0" role="region" aria-label=${t('What every head writes')}>
      <table>
        <tr>
          <th>${t('head')}</th>
          <th>${t('adds to the logit')}</th>
          <th>${t('loss without it, nats')}</th>
        </tr>
        ${heads.map(
          head =>
            html`<tr>
              <td>
                <button class="link" title=${headName(head)} @click=${() => select(head)}>
                  ${shortName(head)}
                </button>
              </td>
              <td class="number" title=${exact(head.logit)}>${signed(head.logit)}</td>
              <td class="number" title=${exact(head.loss, 'nats')}>${signed(head.loss)}</td>
            </tr>`,
        )}
      </table>
    </div>
  </details>`;
}
