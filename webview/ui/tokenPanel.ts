import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { Link, TokenAttention } from '../../shared/protocol/engine';
import { percent, signed, tokenLabel } from '../../shared/numbers';
import { exact, nats } from '../model/amounts';
import { mechanismNames } from '../model/mechanismNames';
import { standing } from '../model/standing';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { rich, t } from '../host/words';
import { Component } from './component';
import { requestState } from './states';
import { askedByValue, byValue } from './weighing';

/** A lost key below this mass is not worth a line. */
const WORTH_SAYING = 0.001;

export interface Bar {
  name: string;
  /** Share of 1. */
  value: number;
  /** Makes the name a link to this token. */
  token?: number;
}

/** Named bars with their values. `most` is the value of a full bar. */
export function bars(rows: Bar[], most: number): TemplateResult {
  return html`<div class="bars">
    ${rows.map(
      row =>
        html`${
            row.token === undefined
              ? html`<span class="name" title=${row.name}>${row.name}</span>`
              : html`<button
                  class="link name"
                  title=${t('{0}: click pins it', row.name)}
                  @mouseenter=${() => store.preview(row.token!)}
                  @mouseleave=${() => store.preview(null)}
                  @click=${() => store.select({ token: row.token! })}
                >
                  ${row.name}
                </button>`
          }
          <span class="track"><div .style=${`width: ${Math.min(1, row.value / most) * 100}%`}></div></span>
          <span class="number" title=${exact(row.value * 100, '%')}>${percent(row.value)}</span>`,
    )}
  </div>`;
}

export const barStyles = css`
  .bars {
    display: grid;
    grid-template-columns: minmax(0, max-content) minmax(30px, 1fr) max-content;
    gap: 3px 8px;
    align-items: center;
    margin: 2px 0 10px;
  }
  .bars .track {
    height: 7px;
    background: var(--vscode-editorWidget-background, #8882);
    outline: 1px solid var(--vscode-contrastBorder, transparent);
  }
  .bars .track > div {
    height: 100%;
    background: var(--accent);
  }
  .bars .name {
    overflow: hidden;
    text-overflow: ellipsis;
    max-width: 170px;
    white-space: nowrap;
  }
`;

/** The token that is pinned (or pointed at while none is): where it looks, who looks at it, what mechanisms keep. */
@customElement('ai-token')
export class TokenPanel extends Component {
  static override styles = [
    ...Component.styles,
    barStyles,
    css`
      .quiet {
        margin-top: 4px;
      }
    `,
  ];
  private readonly answer = new Remote(this, 'analysis/token', 60);

  /** Pinned first: what is pinned stays while the pointer crosses it to get here. */
  private get token(): number | null {
    const token = store.selection.token ?? store.previewToken;
    return token !== null && token < (store.tokens?.ids.length ?? 0) ? token : null;
  }

  override willUpdate(): void {
    const { id } = store;
    const head = store.shownHead;
    const { token } = this;
    const ready = id && head && token !== null && store.summary;
    this.answer.want(
      ready && takesPart(head.core)
        ? { id, ...head, tokens: [token], top: 7, mechanisms: [], ...askedByValue() }
        : null,
    );
  }

  override render() {
    const { token } = this;
    const { tokens } = store;
    if (token === null || !tokens)
      return html`<p class="muted" data-no-export>
        ${t('Pin a token to see where it looks and who looks at it.')}
      </p>`;
    return html`<h2>
        “${tokenLabel(tokens.text[token] ?? '', 18)}” <span class="muted">${t('token {0}', token)}</span>
        ${
          store.selection.token === token
            ? html`<button class="link" data-no-export @click=${() => store.select({ token: null })}>
                ${t('Unpin')}
              </button>`
            : nothing
        }
      </h2>
      ${store.shownHead && !takesPart(store.shownHead.core) ? outside() : nothing}
      ${
        this.answer.value &&
        this.answer.answers?.tokens[0] === token &&
        this.answer.answers.byValue === askedByValue().byValue
          ? found(this.answer.value[0]!)
          : requestState(this.answer, t('Looking.'))
      }`;
  }
}

/** Whether words of the analysed text are queries or keys of a core. */
function takesPart(core: number | null): boolean {
  const { queries, keys } = store.sides(core);
  return queries === 'text' || keys === 'text';
}

function outside(): TemplateResult {
  return html`<p class="muted">
    ${t('This head of the decoder reads the target text alone: no word of the analyzed text takes part in it.')}
  </p>`;
}

/** Named where a model reads two texts. */
const ofSide = (side: Side) =>
  store.target ? (side === 'target' ? t(' in the target text') : t(' in the analyzed text')) : '';

function found(answer: TokenAttention): TemplateResult {
  const asks = store.sides(store.shownHead?.core ?? null).queries === 'text';
  const names = mechanismNames(answer.kept.map(k => k.mechanism));
  const core = store.shownHead?.core ?? null;
  const kept = answer.kept.map((k, i) => ({ ...k, title: `${names[i]!} · ${standing(k.mechanism, core)}` }));
  const name = (side: Side, token: number) => tokenLabel(store.tokensOf(side)?.text[token] ?? '', 14);
  const links = (list: Link[], side: Side) =>
    bars(
      list.map(l => ({
        name: `${name(side, l.token)} ${l.token}`,
        value: l.mass,
        // Tokens of a decoder's own text cannot be pinned: they are not in the document.
        token: side === 'text' ? l.token : undefined,
      })),
      Math.max(...list.map(l => l.mass), 1e-9),
    );
  return html`${byValue() ? html`<div class="muted">${t('value-weighted shares')}</div>` : nothing}
    ${
      asks
        ? html`<div class="muted">${rich('looks at{0}', ofSide(answer.looksAtSide))}</div>
            ${links(answer.looksAt, answer.looksAtSide)}`
        : nothing
    }
    <div class="muted">${rich('is looked at by{0}', ofSide(answer.lookedAtBySide))}</div>
    ${links(answer.lookedAtBy, answer.lookedAtBySide)}
    ${
      asks && answer.kept.length
        ? html`<div class="muted">${t('of where it looks, kept by (local)')}</div>
            ${bars(
              kept.map(k => ({ name: k.title, value: k.mass })),
              1,
            )}
            ${kept
              .filter(k => k.costliestLost && k.costliestLost.mass >= WORTH_SAYING)
              .map(
                k =>
                  html`<div class="muted quiet">
                    ${rich('{0} loses “{1}” ({2})', k.title, name(answer.looksAtSide, k.costliestLost!.token), percent(k.costliestLost!.mass))}${k.deltaLoss === null ? nothing : html`${rich(', loss {0} nats (propagated)', signed(k.deltaLoss))}`}
                  </div>`,
              )}`
        : nothing
    }
    <p class="muted quiet">
      ${asks ? html`${rich('entropy {0}', html`<span title=${exact(answer.entropy, 'nats')}>${nats(answer.entropy)}</span>`)}` : nothing}${
        answer.loss === null
          ? nothing
          : html`${rich('{0}loss {1}', asks ? '; ' : '', html`<span title=${exact(answer.loss, 'nats')}>${nats(answer.loss)}</span>`)}`
      }
    </p>`;
}
