import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { guard } from 'lit/directives/guard.js';
import type { Plan, PlannedHead } from '../../shared/protocol/engine';
import { toCss } from '../draw/colour';
import { number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { mechanismLook, mechanismTitle, parameterWords } from '../model/mechanismLook';
import { headName, STACKS } from '../model/names';
import { theme } from '../draw/theme';
import { toSelect } from '../model/standing';
import { headKey, share } from '../model/tried';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { DENSE } from '../../shared/setting';
import { t } from '../host/words';

/** Letters smaller than this, in pixels, cannot be read. */
const LEGIBLE = 7.5;

/** The plan, a cell for each head: colour and letters tell the mechanism, the number what it spends. */
@customElement('ai-plan-grid')
export class PlanGrid extends Component {
  static override styles = [
    ...Component.styles,
    css`
      .block {
        display: grid;
        gap: 3px;
        width: max-content;
        max-width: 100%;
        overflow-x: auto;
        padding: 3px;
      }
      .row {
        display: contents;
      }
      .label {
        color: var(--muted);
        align-self: center;
        text-align: right;
        padding-right: 6px;
        white-space: nowrap;
      }
      .column {
        color: var(--muted);
        text-align: center;
        font-size: 11px;
      }
      .cell {
        font: inherit;
        border: none;
        padding: 0;
        height: var(--tall);
        cursor: pointer;
        display: flex;
        flex-direction: column;
        align-items: center;
        justify-content: center;
        line-height: 1.15;
        overflow: hidden;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .cell .code {
        font-weight: 600;
      }
      .cell .spent {
        font-size: 10px;
      }
      .cell:hover,
      .cell.preview {
        outline: 1px solid var(--vscode-foreground);
      }
      .cell[aria-selected='true'] {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      .cell:focus-visible {
        outline: 2px dashed var(--focus);
        outline-offset: 1px;
      }
    `,
  ];
  @property({ attribute: false }) plan: Plan | null = null;

  override render() {
    const { plan, width } = this;
    const cores = store.model?.cores;
    if (!plan || !cores || !width) return nothing;
    const heads = new Map(plan.heads.map(head => [headKey(head), head]));
    const columns = Math.max(...cores.map(c => c.heads));
    const cell = Math.max(14, Math.min(58, Math.floor((width - 64) / columns) - 3));
    return html`${STACKS.map(({ kind, title }) => {
      const rows = cores.filter(c => c.kind === kind).sort((a, b) => b.layer - a.layer);
      if (!rows.length) return nothing;
      return html`${title ? html`<h2>${title}</h2>` : nothing}
        <div
          class="block"
          role="grid"
          aria-label=${t('The plan: rows are layers, the first at the bottom; columns are heads')}
          .style=${`--tall: ${Math.max(14, Math.min(34, Math.round(cell * 0.62)))}px; grid-template-columns: auto repeat(${columns}, ${cell}px)`}
          @mouseleave=${() => store.previewOf(null)}
        >
          ${rows.map(
            info =>
              html`<div class="row" role="row">
                <span class="label" role="rowheader">${cell > 30 ? t('layer ') : ''}${info.layer}</span>
                ${Array.from({ length: info.heads }, (_, head) => this.cell(info.core, head, heads.get(`${info.core}.${head}`) ?? null, cell))}
                ${Array.from({ length: columns - info.heads }, () => html`<span></span>`)}
              </div>`,
          )}
          <div class="row" role="row">
            <span class="label">${t('head')}</span>
            ${Array.from({ length: columns }, (_, head) => html`<span class="column" role="columnheader">${head}</span>`)}
          </div>
        </div>`;
    })}`;
  }

  private cell(core: number, head: number, planned: PlannedHead | null, size: number): TemplateResult {
    const choice = planned?.choice ?? DENSE;
    const { fill, text, label } = mechanismLook(choice.name, store.mechanismInfos, theme());
    const spent = planned ? share(planned) : 1;
    const id = { core, head };
    const is = (other: { core: number | null; head: number | null } | null) =>
      other?.core === core && other.head === head;
    const selected = is(store.shownHead);
    const words = `${headName(id)}: ${this.words(planned)}`;
    const font = Math.min(11, size / (0.64 * label.length));
    const letters = font < LEGIBLE ? '' : label;
    const per = size < 34 ? '' : `${number(Number((spent * 100).toPrecision(2)))}%`;
    const pick = () => store.select({ ...id, mechanism: planned && toSelect(choice, core) });
    const previewed = is(store.previewHead);
    // There may be a thousand cells, and the pointer moves over them: only those that changed are made anew.
    return html`${guard(
      [planned, size, selected, previewed, theme()],
      () =>
        html`<button
          type="button"
          class="cell ${previewed ? 'preview' : ''}"
          role="gridcell"
          aria-selected=${selected}
          aria-label=${[letters, per, words].filter(Boolean).join(' ')}
          title=${words}
          tabindex=${selected ? 0 : -1}
          .style=${`background: ${toCss(fill)}; color: ${toCss(text)}`}
          data-head=${headKey(id)}
          @mouseenter=${() => store.previewOf(id)}
          @click=${pick}
          @contextmenu=${(event: Event) => {
            event.preventDefault();
            pick();
            this.dispatchEvent(new CustomEvent('change-head'));
          }}
          @keydown=${(event: KeyboardEvent) => this.key(event)}
        >
          ${letters ? html`<span class="code" .style=${`font-size: ${font}px`}>${letters} </span>` : nothing}
          ${per ? html`<span class="spent">${per}</span>` : nothing}
        </button>`,
    )}`;
  }

  private words(planned: PlannedHead | null): string {
    if (!planned) return t('dense, all pairs');
    const { choice } = planned;
    const info = store.mechanismInfos.find(m => m.name === choice.name);
    const params = parameterWords(choice, info);
    const kept =
      planned.recall === null ? '' : t(', keeps {0} of the mass', exact(planned.recall * 100, '%'));
    return t(
      '{0}{1}, {2} of the pairs{3}, output error {4} (local)',
      mechanismTitle(choice.name, store.mechanismInfos),
      params ? ` (${params})` : '',
      exact(share(planned) * 100, '%'),
      kept,
      percent(planned.outputError),
    );
  }

  /** The arrows move the selection (a global key); focus goes with it. */
  private key(event: KeyboardEvent): void {
    if (!event.key.startsWith('Arrow')) return;
    const follow = () => this.renderRoot.querySelector<HTMLElement>('.cell[aria-selected="true"]')?.focus();
    setTimeout(() => void this.updateComplete.then(follow), 60);
  }
}
