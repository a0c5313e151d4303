import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { BudgetUnit, CountKind } from '../../shared/protocol/engine';
import { UNITS } from '../../shared/budgetUnits';
import { FAR_LENGTH } from '../../shared/costLengths';
import { toCss } from '../draw/colour';
import { percent, signed } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { DENSE } from '../../shared/setting';
import { fairComparison } from '../model/fairComparison';
import { bestOf, numbersOf, sorted, type Best } from '../model/compareRows';
import { mechanismLook, mechanismTitle, parameterWords } from '../model/mechanismLook';
import { shortName } from '../model/names';
import { denseIsWhatIf, standing, withoutRecall } from '../model/standing';
import { theme } from '../draw/theme';
import { TOLERANCE, share, type Measure, type Tried } from '../model/tried';
import { Remote } from '../host/remote';
import { certaintyOf } from '../model/certainty';
import { cosineOf, embeddingWords, lengthOf } from '../model/embedding';
import { store } from '../host/store';
import { Component } from '../ui/component';
import '../plots/headStrip';
import '../plots/keptThumb';
import '../ui/legend';
import { rich, said, t } from '../host/words';

/** A long text to compare at, in tokens. */
const MARK: Record<CountKind, string> = { exact: '', expected: '≈ ', most: '≤ ' };
const COUNTED: Record<CountKind, string> = {
  exact: t('By formula, exact'),
  expected: t('By formula, expected of a text without structure'),
  most: t('By formula, no more than that'),
};

type Column = 'name' | 'recall' | 'outputError' | 'effect' | 'embedding' | 'share';

/** Mechanisms side by side, a row each. */
@customElement('ai-compare-table')
export class CompareTable extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        overflow-x: auto;
      }
      table {
        width: 100%;
      }
      th {
        vertical-align: bottom;
        line-height: 1.25;
        border-bottom: 1px solid var(--line);
        padding-bottom: 4px;
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
        color: var(--vscode-foreground);
      }
      th[aria-sort='ascending'],
      th[aria-sort='descending'] {
        color: var(--vscode-foreground);
      }
      td {
        vertical-align: middle;
        padding: 5px 10px 5px 0;
        border-bottom: 1px solid color-mix(in srgb, var(--muted) 22%, transparent);
      }
      tbody tr {
        cursor: pointer;
      }
      tbody tr:hover {
        background: var(--vscode-list-hoverBackground, #8881);
      }
      tbody tr[aria-selected='true'] {
        background: color-mix(in srgb, var(--focus) 14%, transparent);
        outline: 1px solid var(--focus);
        outline-offset: -1px;
      }
      td:first-child {
        padding-left: 6px;
        width: 58px;
      }
      ai-kept-thumb {
        width: 52px;
        height: 52px;
      }
      .mechanism {
        min-width: 96px;
      }
      .mechanism .name {
        display: flex;
        align-items: baseline;
        gap: 6px;
      }
      .best > span {
        font-weight: 700;
      }
      .mechanism .swatch {
        flex: none;
        width: 10px;
        height: 10px;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .mechanism button {
        color: inherit;
        font-weight: 600;
      }
      .small {
        font-size: 11px;
        color: var(--muted);
      }
      .value {
        white-space: nowrap;
        min-width: 64px;
      }
      .value .track {
        height: 5px;
        margin-top: 3px;
        background: color-mix(in srgb, var(--muted) 22%, transparent);
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .value .track > div {
        height: 100%;
        background: var(--accent);
      }
      .value .track.error > div {
        background: var(--accent2);
      }
      .legends {
        display: flex;
        flex-wrap: wrap;
        gap: 4px 24px;
        margin-top: 8px;
        font-size: 11px;
      }
    `,
  ];
  @property({ attribute: false }) rows: Tried[] = [];
  /** The head whose numbers are shown; null = all heads. */
  @property() head: string | null = null;
  @property() measure: Measure = 'recall';
  /** What every row should spend; null where each spends what it does. */
  @property({ attribute: false }) budget: number | null = null;
  /** What `pairs` of the rows are. */
  @property() unit: BudgetUnit = 'pairs';
  private readonly costs = new Remote(this, 'cost/formulas', 300);
  @state() private readonly running = new Map<string, string | null>();

  override willUpdate(): void {
    const { id } = store;
    const core = store.shownHead?.core ?? null;
    const mechanisms = this.rows.map(({ choice }) => choice);
    const known = id && core !== null && store.summary && mechanisms.length > 0;
    this.costs.want(known ? { id, core, mechanisms, lengths: [FAR_LENGTH] } : null);
  }

  override render() {
    const column = store.option<string>('compare', 'sort', 'recall');
    const descending = store.option('compare', 'descending', true);
    const title = (row: Tried) => mechanismTitle(row.choice.name, store.mechanismInfos);
    const rows = sorted(this.rows, column, descending, this.head, title);
    const head = store.shownHead;
    const wide = this.width > 560;
    const measured = rows.find(row => row.effect)?.effect?.measure;
    const loss = measured ? measured === 'loss' : !store.summary || store.summary.loss !== null;
    const embeds = store.summary?.model.pooling !== undefined;
    // What spends more than others is not better for it.
    const { measure, budget } = this;
    const { ranked } = fairComparison(rows, { head: this.head, measure, budget, plan: null });
    const fair = ranked.map(({ row }) => row);
    const best = bestOf(fair, this.head);
    const long = new Map(
      this.costs.value?.curves.map(curve => [
        curve.choice.key,
        { share: curve.pairs[0]! / this.costs.value!.dense.pairs[0]!, count: curve.count },
      ]),
    );
    return html`<table aria-label=${t('Mechanisms side by side')}>
        <thead>
          <tr>
            ${wide ? html`<th>${head ? shortName(head) : ''}</th>` : nothing}
            ${this.heading('name', 'mechanism', false)}
            ${this.heading('recall', html`${t('mass kept')}<br />${t('(local)')}`, true)}
            ${this.heading('outputError', html`${t('output error')}<br />${t('(local)')}`, false)}
            ${this.heading('effect', html`${rich('{0} change', loss ? t('loss') : t('output'))}<br />${t('(propagated)')}`, false)}
            ${embeds ? this.heading('embedding', html`${t('embedding,')}<br />${t('cosine (propagated)')}`, true) : nothing}
            ${this.heading('share', html`${t(UNITS[this.unit])},<br />${t('of dense')}`, false)}
            ${wide ? html`<th title=${t('By formula, for this head size')}>${t('at 32k')}<br />${t('tokens')}</th>` : nothing}
            ${wide ? html`<th>${this.measure === 'recall' ? t('mass kept') : t('output error')},<br />${t('every head')}</th>` : nothing}
          </tr>
        </thead>
        <tbody>
          ${rows.map(row => this.row(row, title(row), wide, best, long.get(row.key)))}
        </tbody>
      </table>
      ${wide ? this.legends() : nothing}`;
  }

  /** Of the pictures, which a narrow table has no room for. */
  private legends(): TemplateResult {
    return html`<div class="legends">
      <ai-legend
        .label=${this.measure === 'recall' ? t('mass kept, every head') : t('output error, every head')}
        .lut=${theme().sequential}
        .ticks=${[0, 0.5, 1].map(at => ({ at, label: percent(at) }))}
      ></ai-legend>
      <span class="muted">${t('map: kept mass in these colours, lost mass in orange')}</span>
    </div>`;
  }

  private heading(column: Column, label: TemplateResult | string, descends: boolean): TemplateResult {
    const now = store.option<string>('compare', 'sort', 'recall') === column;
    const descending = store.option('compare', 'descending', true);
    const sort = () => {
      store.setOption('compare', 'sort', column);
      store.setOption('compare', 'descending', now ? !descending : descends);
    };
    return html`<th aria-sort=${now ? (descending ? 'descending' : 'ascending') : 'none'}>
      <button type="button" @click=${sort}>
        ${label}${now ? html` <span aria-hidden="true">${descending ? '▾' : '▴'}</span>` : nothing}
      </button>
    </th>`;
  }

  private row(
    row: Tried,
    title: string,
    wide: boolean,
    best: Best,
    long: { share: number; count: CountKind } | undefined,
  ): TemplateResult {
    const { choice } = row;
    const core = this.head === null ? null : (store.shownHead?.core ?? null);
    const { mechanism } = store.selection;
    const selected = mechanism !== null && mechanism.key === row.key;
    const info = store.mechanismInfos.find(m => m.name === choice.name);
    const numbers = numbersOf(row, this.head);
    const look = mechanismLook(choice.name, store.mechanismInfos, theme());
    const params = parameterWords(choice, info);
    const isOwn = choice.name === DENSE.name && !denseIsWhatIf();
    const select = () => store.select({ mechanism: isOwn ? null : choice });
    const embeds = store.summary?.model.pooling !== undefined;
    const values = new Map([...row.heads].map(([key, h]) => [key, h[this.measure]]));
    return html`<tr aria-selected=${selected} data-setting=${row.key} @click=${select}>
      ${
        wide
          ? html`<td>
              <ai-kept-thumb .head=${store.shownHead} .choice=${choice}></ai-kept-thumb>
            </td>`
          : nothing
      }
      <td class="mechanism">
        <div class="name">
          <span class="swatch" .style=${`background: ${toCss(look.fill)}`}></span
          ><button type="button" class="link" title=${info?.summary ?? title} @click=${select}>
            ${title}
          </button>
        </div>
        ${params ? html`<div class="small">${params}</div>` : nothing}
        <div class="small standing">${standing(choice, core)}</div>
        ${info && !info.causalSelection && !row.notes.some(note => note.kind === 'sameAs') ? html`<div class="small" title=${t('Which pairs it keeps is found by looking at later tokens, too')}>${t('chosen from the whole text')}</div>` : nothing}
        ${row.notes.filter(note => note.kind !== 'looksAhead').map(note => html`<div class="small">${said(note.text)}</div>`)}
      </td>
      <td class="value ${best.recall === row.key ? 'best' : ''}">
        ${this.bar(numbers?.recall ?? null, 'recall', t('It {0}.', withoutRecall(choice, core)))}
      </td>
      <td class="value ${best.outputError === row.key ? 'best' : ''}">
        ${this.bar(numbers?.outputError ?? null, 'outputError', '')}
      </td>
      <td class="number ${best.effect === row.key ? 'best' : ''}">${this.effect(row)}</td>
      ${embeds ? html`<td class="number ${best.embedding === row.key ? 'best' : ''}">${this.embedding(row)}</td>` : nothing}
      <td
        class="number"
        title=${numbers ? t('{0} of {1} {2}{3}', exact(numbers.pairs), exact(numbers.densePairs), t(UNITS[this.unit]), this.unit === 'kv' ? t(', bytes') : '') : nothing}
      >
        ${numbers ? percent(numbers.share) : '–'}
        ${
          this.budget !== null && share(row) > this.budget * TOLERANCE
            ? html`<div class="small">${t('over budget')}</div>`
            : nothing
        }
      </td>
      ${
        wide
          ? html`<td class="number" title=${long ? COUNTED[long.count] : nothing}>
              ${long && Number.isFinite(long.share) ? `${MARK[long.count]}${percent(long.share)}` : '–'}
            </td>`
          : nothing
      }
      ${
        wide
          ? html`<td>
              <ai-head-strip
                .values=${values}
                what=${this.measure === 'recall' ? t('mass kept by {0}', title) : t('output error of {0}', title)}
              ></ai-head-strip>
            </td>`
          : nothing
      }
    </tr>`;
  }

  private bar(value: number | null, measure: Measure, without: string): TemplateResult {
    if (value === null) return html`<span class="muted" title=${without}>${t('none')}</span>`;
    return html`<span title=${exact(value * 100, '%')}>${percent(value)}</span>
      <div class="track ${measure === 'recall' ? '' : 'error'}">
        <div .style=${`width: ${Math.min(100, value * 100)}%`}></div>
      </div>`;
  }

  private effect({ key, choice, effect }: Tried): TemplateResult {
    if (effect) {
      const unit = effect.measure === 'loss' ? t('nats per token') : t('(1 − cosine of the output)');
      const { interval, carriers } = certaintyOf(effect.perToken);
      return html`<span title=${[exact(effect.delta, unit), carriers].filter(Boolean).join('; ')}
          >${signed(effect.delta)}</span
        >${effect.measure === 'loss' ? html` <span class="small">${t('nats')}</span>` : nothing}${interval ? html`<br /><span class="small" title=${t('95 % interval')}>${interval}</span>` : nothing}`;
    }
    if (store.report) return html`<span class="muted" title=${t('The model was not run with it')}>–</span>`;
    if (this.running.get(key) === null)
      return html`<span class="muted" role="status">${t('running…')}</span>`;
    const failed = this.running.get(key);
    return html`<button
        class="link"
        data-no-export
        title=${t('Run the whole model on with it and measure what changes')}
        @click=${(event: Event) => {
          event.stopPropagation();
          void this.runOn(key, choice);
        }}
      >
        ${t('Run the model with it')}</button
      >${failed ? html`<div class="small" role="alert">${failed}</div>` : nothing}`;
  }

  private embedding({ effect }: Tried): TemplateResult {
    const change = effect?.embedding;
    if (!change) return html`<span class="muted">–</span>`;
    return html`<span title=${embeddingWords(change)}>${cosineOf(change)}</span><br /><span class="small"
        >${lengthOf(change)}</span
      >`;
  }

  private async runOn(key: string, mechanism: Tried['choice']): Promise<void> {
    const { id } = store;
    if (!id) return;
    this.running.set(key, null);
    this.requestUpdate();
    try {
      await store.host.request('analysis/mechanism', { id, mechanism, scope: 'propagated' });
      this.running.delete(key);
    } catch (error) {
      this.running.set(key, (error as Error).message);
    }
    this.requestUpdate();
  }
}
