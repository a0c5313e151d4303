import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type {
  HeadMeasures,
  Interval,
  MechanismMeasures,
  MechanismResult,
} from '../../shared/protocol/engine';
import { count, percent } from '../../shared/numbers';
import { exact, nats } from '../model/amounts';
import { mechanismTitle, parameterWords } from '../model/mechanismLook';
import { headKey, type Tried } from '../model/tried';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { requestState } from '../ui/states';
import { rich, t } from '../host/words';

type Shown = Pick<
  HeadMeasures,
  'recallInterval' | 'outputErrorInterval' | 'sampled' | 'queries' | 'entmaxRecall' | 'topPRecall' | 'kl'
> &
  Partial<Pick<HeadMeasures, 'negative'>>;

/** What takes longer to know of the rows: intervals, edges of other graphs that are kept, divergence. */
@customElement('ai-measures')
export class MeasuresTable extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        overflow-x: auto;
        margin-top: 12px;
      }
      th {
        vertical-align: bottom;
        line-height: 1.25;
      }
      .small {
        font-size: 11px;
        color: var(--muted);
        white-space: nowrap;
      }
    `,
  ];
  @property({ attribute: false }) rows: Tried[] = [];
  /** The head whose numbers are shown; null = all heads. */
  @property() head: string | null = null;
  /** More rows are to come: what is there stays until then. */
  @property({ type: Boolean }) waiting = false;
  private readonly compared = new Remote(this, 'analysis/compare', 500);

  override connectedCallback(): void {
    super.connectedCallback();
    // It scrolls sideways where it is narrow: by keyboard, too.
    this.tabIndex = 0;
    this.role = 'region';
    this.ariaLabel = t('Measures in more detail');
  }

  override willUpdate(): void {
    const { id } = store;
    if (this.waiting) return;
    const mechanisms = this.rows.map(({ choice }) => choice);
    this.compared.want(id && store.summary && mechanisms.length ? { id, mechanisms } : null);
  }

  override render() {
    const found = new Map(this.compared.value?.map(result => [result.setting.key, result]));
    const first = [...found.values()].map(result => this.measures(result)).find(m => m);
    return html`<table aria-label=${t('Mechanisms in more detail')}>
        <tr>
          <th>${t('in more detail (local)')}</th>
          <th>${t('mass kept,')}<br />${t('95 % of means')}</th>
          <th>${t('output error,')}<br />${t('95 % of means')}</th>
          <th title=${t('Share of the pairs that 1.5-entmax of the dense scores gives weight to')}>
            1.5-entmax<br />${t('edges kept')}
          </th>
          <th title=${t("Share of the pairs in the smallest sets that hold 95 % of each query's mass")}>
            top-95&#8239;%<br />${t('edges kept')}
          </th>
          <th title=${t('KL divergence of the row from the dense row')}>${t('divergence')}</th>
        </tr>
        ${this.rows.map(row => this.row(row, found.get(row.key)))}
      </table>
      ${requestState(this.compared, t('Comparing rows and graphs; this takes a while.'))}
      ${
        first
          ? html`<div class="small">
              ${rich('Edges and divergence from {0} of {1} queries, evenly spaced; intervals by bootstrap over blocks of queries.', count(first.sampled), count(first.queries))}
            </div>`
          : nothing
      }`;
  }

  private measures(result: MechanismResult | undefined): Shown | MechanismMeasures | undefined {
    if (this.head === null) return result?.measures;
    return result?.heads.find(h => headKey(h) === this.head)?.measures;
  }

  private row({ choice }: Tried, result: MechanismResult | undefined): TemplateResult {
    const measures: Shown | undefined = this.measures(result);
    const info = store.mechanismInfos.find(m => m.name === choice.name);
    const share = (value: number | null | undefined) =>
      value === null || value === undefined
        ? '–'
        : html`<span title=${exact(value * 100, '%')}>${percent(value)}</span>`;
    return html`<tr>
      <td>
        ${mechanismTitle(choice.name, store.mechanismInfos)}
        <span class="small">${parameterWords(choice, info)}</span>
      </td>
      <td class="number">${interval(measures?.recallInterval)}</td>
      <td class="number">${interval(measures?.outputErrorInterval)}</td>
      <td class="number">${share(measures?.entmaxRecall)}</td>
      <td class="number">${share(measures?.topPRecall)}</td>
      <td class="number">
        ${
          measures?.kl === null || measures?.kl === undefined
            ? html`<span
                title=${measures?.negative ? t('{0} of the sampled queries have negative weights', measures.negative) : ''}
                >–</span
              >`
            : html`<span title=${exact(measures.kl, 'nats')}>${nats(measures.kl)}</span>`
        }
      </td>
    </tr>`;
  }
}

function interval(of: Interval | null | undefined): TemplateResult | string {
  if (!of) return '–';
  return html`<span title=${t('{0} to {1}', exact(of.low * 100, '%'), exact(of.high * 100, '%'))}
    >${rich('{0} to {1}', percent(of.low), percent(of.high))}</span
  >`;
}
