import { computed } from '@lit-labs/preact-signals';
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { HeadProfile } from '../../shared/protocol/engine';
import { csv, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { BudgetFits } from '../host/budgetFits';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import {
  findMeasure,
  headMeasures,
  writeExact,
  writeInterval,
  writeShort,
  type HeadMeasure,
} from '../model/measures';
import { mechanismTitle, parameterWords } from '../model/mechanismLook';
import { headName, rolesWhere } from '../model/names';
import { mainRole, roleGlyph } from '../model/roles';
import { roleTitle } from '../../shared/roleTitles';
import { allTried, atBudget, headKey, type Tried } from '../model/tried';
import { Component } from '../ui/component';

/** Rows that are drawn before one asks for all. */
const FIRST = 100;

/** Heads x mechanisms at one budget: who matters, and what would spoil it. Any column sorts. */
@customElement('ai-head-table')
export class HeadTable extends Component {
  static override styles = [
    ...Component.styles,
    css`
      .scroll {
        overflow-x: auto;
      }
      table {
        border-collapse: collapse;
      }
      th {
        vertical-align: bottom;
        border-bottom: 1px solid var(--line);
      }
      th button {
        font: inherit;
        color: inherit;
        background: none;
        border: none;
        padding: 0;
        cursor: pointer;
        text-align: inherit;
      }
      th button:hover {
        text-decoration: underline;
      }
      th.mechanism {
        max-width: 8em;
        text-align: right;
      }
      td,
      th[scope='row'] {
        white-space: nowrap;
        border-bottom: 1px solid color-mix(in srgb, var(--line) 50%, transparent);
      }
      /* Rows keep their name in sight where there are more columns than room. */
      th[scope='row'] {
        position: sticky;
        left: 0;
        background: var(--vscode-editor-background);
      }
      tr[aria-selected='true'] td,
      tr[aria-selected='true'] th,
      tr[aria-selected='true'] th .link {
        background: var(--vscode-list-activeSelectionBackground, transparent);
        color: var(--vscode-list-activeSelectionForeground, inherit);
      }
      tr[aria-selected='true'] {
        outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
      }
      td .small {
        opacity: 0.8;
        font-size: 0.9em;
      }
      tbody tr {
        cursor: pointer;
      }
    `,
  ];
  private readonly fits = new BudgetFits(this);
  private readonly tried = computed(() => allTried(store.mechanisms, store.plan, this.fits.results));

  private get budget(): number {
    return store.option('compare', 'budget', 0.1);
  }

  private get mechanisms(): Tried[] {
    return atBudget(
      this.tried.value.filter(one => one.choice.name !== 'dense'),
      this.budget,
    );
  }

  override willUpdate(): void {
    const can = store.summary && !store.report;
    this.fits.want(can ? store.id : null, can ? [this.budget] : []);
  }

  override render() {
    const { cost, mechanisms } = this;
    const sort = store.option<string>('overview', 'tableSort', cost ? 'cost' : 'error');
    const descending = store.option('overview', 'tableDescending', true);
    const heads = this.sorted(sort, descending);
    const all = store.option('overview', 'tableAll', false);
    const heading = (id: string, name: string, title: string, kind = '') =>
      html`<th
        scope="col"
        class=${kind}
        aria-sort=${sort === id ? (descending ? 'descending' : 'ascending') : nothing}
      >
        <button
          type="button"
          title=${title}
          @click=${() => this.sortBy(id, sort === id ? !descending : true)}
        >
          ${name}${sort === id ? (descending ? ' ↓' : ' ↑') : ''}
        </button>
      </th>`;
    const { busy } = this.fits;
    return html`<p>
        ${rich('Output error of each mechanism in each head, with {0} of the pairs {1}.', percent(this.budget), html`<span class="muted">${t('(local)')}</span>`)}
        ${busy ? html`<span class="muted" role="status">${rich('Trying {0}, {1} to go.', busy.name, busy.left)}</span>` : nothing}
        ${this.fits.error ? html`<span role="alert">${this.fits.error}</span>` : nothing}
      </p>
      <div class="scroll">
        <table aria-label=${t('Heads and mechanisms')}>
          <thead>
            <tr>
              ${heading('head', 'head', t('In the order of the model'))}
              ${heading('role', t('what it does'), t('By its clearest role, {0}', rolesWhere()))}
              ${cost ? heading('cost', cost.title, cost.summary, 'number') : nothing}
              ${heading('error', 'all', t('Mean error of all mechanisms here: how hard the head is to replace'), 'number')}
              ${mechanisms.map(one =>
                heading(
                  one.choice.name,
                  mechanismTitle(one.choice.name, store.mechanismInfos),
                  parameterWords(one.choice),
                  'mechanism',
                ),
              )}
            </tr>
          </thead>
          <tbody @mouseleave=${() => store.previewOf(null)}>
            ${(all ? heads : heads.slice(0, FIRST)).map(head => this.row(head, cost, mechanisms))}
          </tbody>
        </table>
      </div>
      ${
        heads.length > FIRST && !all
          ? html`<button
              class="link"
              data-no-export
              @click=${() => store.setOption('overview', 'tableAll', true)}
            >
              ${rich('Show all {0} heads', heads.length)}
            </button>`
          : nothing
      }`;
  }

  private row(head: HeadProfile, cost: HeadMeasure | null, mechanisms: readonly Tried[]): TemplateResult {
    const key = headKey(head);
    const role = mainRole(head);
    const shown = head.core === store.shownHead?.core && head.head === store.shownHead.head;
    const range = cost && writeInterval(cost, head);
    const number = (value: number | null | undefined) =>
      html`<td class="number" title=${value == null ? '' : exact(value * 100, '%')}>
        ${value == null ? '–' : percent(value)}
      </td>`;
    return html`<tr
      data-head=${key}
      aria-selected=${shown}
      @mouseenter=${() => store.previewOf({ core: head.core, head: head.head })}
      @click=${() => store.select({ core: head.core, head: head.head })}
    >
      <th scope="row">
        <button class="link" @dblclick=${() => store.show('head')}>${headName(head)}</button>
      </th>
      <td>
        ${role ? html`${roleGlyph(role, 12)} ${roleTitle(head.roles[0]!, t)}` : html`<span class="muted">–</span>`}
      </td>
      ${
        cost
          ? html`<td class="number" title=${writeExact(cost, cost.value(head))}>
              ${writeShort(cost, cost.value(head))}
              ${range ? html`<span class="small">${range}</span>` : nothing}
            </td>`
          : nothing
      }
      ${number(errorOf(head, mechanisms))} ${mechanisms.map(one => number(one.heads.get(key)?.outputError))}
    </tr>`;
  }

  // ------------------------------------------------------------ order

  private get cost(): HeadMeasure | null {
    const measures = headMeasures([], null, store.heads, store.ablation);
    const found = findMeasure(measures, 'ablation');
    return found.id === 'ablation' ? found : null;
  }

  private sortBy(id: string, descending: boolean): void {
    store.setOption('overview', 'tableSort', id);
    store.setOption('overview', 'tableDescending', descending);
  }

  private sorted(sort: string, descending: boolean): HeadProfile[] {
    const { cost, mechanisms } = this;
    const by = mechanisms.find(one => one.choice.name === sort);
    const value = (head: HeadProfile): number | null => {
      if (sort === 'cost') return cost?.value(head) ?? null;
      if (sort === 'role') return head.roles[0]?.score ?? null;
      if (sort === 'head') return -(head.core * 10_000 + head.head);
      return by ? (by.heads.get(headKey(head))?.outputError ?? null) : errorOf(head, mechanisms);
    };
    const sign = descending ? -1 : 1;
    return [...store.heads].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // What is not known stands last, whichever way.
      if (x === null || y === null) return Number(x === null) - Number(y === null);
      return sign * (x - y);
    });
  }

  toCsv(): string {
    const { cost, mechanisms } = this;
    return csv(
      [
        'core',
        'head',
        `role ${store.probe ? 'on the probe' : 'on this text'}`,
        ...(cost ? ['loss without it'] : []),
        ...mechanisms.map(one => `output error, ${one.choice.name}`),
      ],
      this.sorted('head', true).map(head => [
        head.core,
        head.head,
        mainRole(head),
        ...(cost ? [cost.value(head)] : []),
        ...mechanisms.map(one => one.heads.get(headKey(head))?.outputError),
      ]),
    );
  }
}

/** Mean over the mechanisms that were tried in it; null where none was. */
function errorOf(head: HeadProfile, mechanisms: readonly Tried[]): number | null {
  const errors = mechanisms
    .map(one => one.heads.get(headKey(head))?.outputError)
    .filter(error => error !== undefined);
  return errors.length ? errors.reduce((sum, error) => sum + error, 0) / errors.length : null;
}
