import { computed } from '@lit-labs/preact-signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { BUDGET_UNITS, type BudgetUnit, type Setting } from '../../shared/protocol/engine';
import { UNITS } from '../../shared/budgetUnits';
import { DENSE } from '../../shared/setting';
import { toCss } from '../draw/colour';
import { CSV_HEADER, csvRows } from '../model/compareRows';
import { fairComparison, type RunOn } from '../model/fairComparison';
import { csv, exact, percent, signed } from '../../shared/numbers';
import { mechanismLook, mechanismTitle } from '../model/mechanismLook';
import { headName, shortName } from '../model/names';
import { denseIsWhatIf, standing } from '../model/standing';
import { theme } from '../draw/theme';
import {
  allTried,
  atBudget,
  headKey,
  inUnit,
  points,
  priced,
  share,
  type Measure,
  type Tried,
} from '../model/tried';
import { BudgetFits } from '../host/budgetFits';
import { certaintyWords } from '../model/certainty';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { button, choose, segmented, slider, toggle } from '../ui/controls';
import { parameterForm } from '../ui/parameterForm';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../plots/paretoPlot';
import '../ui/legend';
import './measuresTable';
import './planSection';
import './compareTable';
import { compareStyles } from './compareStyles';

/** Budgets at which the settings are tried beside the one that is set. */
const LADDER = [0.02, 0.05, 0.1, 0.2, 0.4];

/** Mechanisms side by side, what each setting buys, and the plan that gives every head its own. */
@customElement('ai-compare')
export class CompareView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, compareStyles];
  /** The mechanism that is about to be added. */
  @state() private adding: Setting | null = null;
  private readonly fits = new BudgetFits(this);
  @state() private added: { busy: boolean; error: string | null } = { busy: false, error: null };

  private get budget(): number {
    return store.option('compare', 'budget', 0.1);
  }

  /** What the budget is paid in; settings as computed are known in pairs only. */
  private get unit(): BudgetUnit {
    const wanted = store.option<string>('compare', 'unit', 'pairs');
    return (this.equal && BUDGET_UNITS.find(unit => unit === wanted)) || 'pairs';
  }

  private get equal(): boolean {
    // A report holds what was computed, and nothing that could be tried at a budget.
    return !store.report && store.option<string>('compare', 'rows', 'budget') === 'budget';
  }

  private get measure(): Measure {
    return store.option<string>('compare', 'measure', 'recall') === 'outputError' ? 'outputError' : 'recall';
  }

  /** The head whose numbers are shown; null = all heads. */
  private get head(): string | null {
    const head = store.previewHead ?? store.shownHead;
    return head && store.option<string>('compare', 'of', 'all') === 'head' ? headKey(head) : null;
  }

  /** Budgets at which every mechanism is tried. */
  private get budgets(): number[] {
    const more = store.option('compare', 'more', false) ? LADDER : [];
    return this.equal ? [this.budget, ...more] : more;
  }

  /** There may be thousands of settings, and the pointer moves over them: derived once for each state of things. */
  private readonly allTried = computed(() => allTried(store.mechanisms, store.plan, this.fits.results));

  override willUpdate(): void {
    this.fits.want(store.summary ? store.id : null, this.budgets, this.unit);
  }

  override render() {
    const empty = emptyState('compare');
    if (empty) return empty;
    if (!store.cores.length)
      return html`<div class="state"><p class="muted">The first heads are being computed.</p></div>`;
    const { measure, head } = this;
    const { unit } = this;
    const tried = inUnit(this.allTried.value, unit);
    if (!store.summary && this.allTried.value.length === 0)
      return html`<div class="state">
        <p class="muted">Mechanisms are compared when all layers are finished.</p>
      </div>`;
    const able = tried.filter(one => one.choice.name !== DENSE.name || denseIsWhatIf());
    const rows = this.equal ? atBudget(able, this.budget) : able.filter(one => one.computed);
    const narrow = this.width < 1000;
    return html`
      ${this.toolbar()}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        <div class="lead" role="status">${this.lead(rows)}</div>
        <div class="two ${narrow ? 'narrow' : ''}">
          <section aria-label="Mechanisms side by side">
            ${
              rows.length
                ? html`<ai-compare-table
                    .rows=${rows}
                    .head=${head}
                    .measure=${measure}
                    .budget=${this.equal ? this.budget : null}
                    .unit=${unit}
                  ></ai-compare-table>`
                : html`<p class="muted">
                    No mechanism was computed with this analysis: add one, or find a plan.
                  </p>`
            }
            ${this.fitting()} ${rows.length ? this.legends(measure) : nothing} ${this.addForm()}
            ${store.option('compare', 'details', false) && rows.length ? html`<ai-measures .rows=${rows} .head=${head} .waiting=${this.fits.busy !== null}></ai-measures>` : nothing}
          </section>
          <section class="pareto" aria-label="What is spent against what is kept">
            ${tried.length ? this.pareto(tried, head, measure) : nothing}
          </section>
        </div>
        ${store.report && !store.plan ? nothing : html`<div class="plan"><ai-plan></ai-plan></div>`}
      </div>
    `;
  }

  private settings(): TemplateResult {
    return html`${segmented(
      'Settings',
      this.equal ? 'budget' : 'computed',
      [
        { value: 'budget', label: 'at equal budget' },
        { value: 'computed', label: 'as computed' },
      ],
      value => store.setOption('compare', 'rows', value),
    )}
    ${slider(
      'Budget',
      Math.log10(this.budget),
      { min: -2.5, max: 0, step: 0.02 },
      `${percent(this.budget)} of the ${UNITS[this.unit]}`,
      value => store.setOption('compare', 'budget', Number((10 ** value).toPrecision(2))),
    )}
    ${choose(
      'Paid in',
      this.unit,
      BUDGET_UNITS.map(value => ({ value, label: UNITS[value] })),
      value => store.setOption('compare', 'unit', value),
    )}`;
  }

  private toolbar(): TemplateResult {
    const head = store.shownHead;
    return html`<div class="toolbar">
      ${store.report ? nothing : this.settings()}
      ${segmented(
        'Of',
        store.option<string>('compare', 'of', 'all'),
        [
          { value: 'all', label: 'all heads' },
          { value: 'head', label: head ? shortName(head) : 'one head' },
        ],
        value => store.setOption('compare', 'of', value),
      )}
      ${segmented(
        'By',
        this.measure,
        [
          { value: 'recall', label: 'mass kept' },
          { value: 'outputError', label: 'output error' },
        ],
        value => {
          store.setOption('compare', 'measure', value);
          store.setOption('compare', 'sort', value);
          store.setOption('compare', 'descending', value === 'recall');
        },
      )}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  // ------------------------------------------------------------ adding a mechanism

  private addForm(): TemplateResult | typeof nothing {
    // A report can show further measures where they were computed, and no other mechanism.
    const measured = store.mechanisms.some(m => m.measures);
    if (!store.summary || (store.report && !measured)) return nothing;
    const { adding } = this;
    if (!adding)
      return html`<div class="toolbar add" data-no-export>
        ${store.report ? nothing : button('Add a mechanism', () => (this.adding = this.firstMissing()), { secondary: true })}
        ${toggle('More measures', store.option('compare', 'details', false), on => store.setOption('compare', 'details', on))}
      </div>`;
    const info = store.mechanismInfos.find(m => m.name === adding.name);
    return html`<div class="toolbar add" data-no-export>
      ${choose(
        'Add',
        adding.name,
        store.offeredMechanisms.map(m => ({ value: m.name, label: m.title })),
        name => (this.adding = store.choiceOf(name)),
      )}
      ${info ? parameterForm(info, adding, setting => (this.adding = setting)) : nothing}
      ${button(this.added.busy ? 'Computing…' : 'Compare it', () => void this.add(adding), { disabled: this.added.busy })}
      ${button('Close', () => (this.adding = null), { secondary: true })}
      ${this.added.error ? html`<span role="alert">${this.added.error}</span>` : nothing}
    </div>`;
  }

  private firstMissing(): Setting {
    const there = new Set(store.mechanisms.map(m => m.setting.name));
    const info =
      store.mechanismInfos.find(m => m.name !== 'dense' && !there.has(m.name)) ?? store.mechanismInfos[1];
    return store.choiceOf(info?.name ?? 'local');
  }

  private async add(mechanism: Setting): Promise<void> {
    const { id } = store;
    if (!id) return;
    this.added = { busy: true, error: null };
    try {
      const result = await store.host.request('analysis/mechanism', { id, mechanism, scope: 'local' });
      store.select({ mechanism: result.setting });
      this.added = { busy: false, error: null };
      this.adding = null;
    } catch (error) {
      this.added = { busy: false, error: (error as Error).message };
    }
  }

  // ------------------------------------------------------------ words

  /** The whole point in a sentence or two: of what spends alike, and what was not run on. */
  private lead(rows: Tried[]): TemplateResult | typeof nothing {
    const { head, measure } = this;
    const budget = this.equal ? this.budget : null;
    const { ranked, over, apart, runs, notRun } = fairComparison(rows, {
      ...{ head, measure, budget, plan: (store.plan?.unit ?? 'pairs') === this.unit ? store.plan : null },
    });
    if (apart)
      return html`As computed, the settings spend from ${percent(apart.least)} to ${percent(apart.most)} of
      the pairs: what spends so differently is not
      ranked${store.report ? '.' : html`; <em>at equal budget</em> it is.`}`;
    const title = (choice: Setting) => mechanismTitle(choice.name, store.mechanismInfos);
    const names = (list: readonly Tried[]) => list.map(({ choice }) => title(choice)).join(', ');
    const [best] = ranked;
    if (!best)
      return over.length && budget !== null
        ? html`Nothing spends so little as ${percent(budget)} of the ${UNITS[this.unit]}.`
        : nothing;
    const of = head ? headName(store.previewHead ?? store.shownHead!) : 'all heads';
    const value = html`<strong title=${exact(best.value * 100, '%')}>${percent(best.value)}</strong>`;
    const alone = ranked.length === 1;
    return html`Of ${of}, <strong>${title(best.row.choice)}</strong> ${
        measure === 'recall'
          ? html`keeps ${alone ? nothing : 'the most: '}${value} of the mass`
          : html`changes the output ${alone ? nothing : 'least, '}by ${value},`
      }
      with ${percent(best.numbers.share)} of the ${UNITS[this.unit]}
      <span class="muted">(local, ${standing(best.row.choice)})</span>.
      ${over.length ? html`Not compared, over budget: ${names(over)}.` : nothing} ${this.ranOn(runs, title)}
      ${runs.length && notRun.length ? html`<span class="muted">Not run on: ${names(notRun)}.</span>` : nothing}`;
  }

  private ranOn([best, ...others]: RunOn[], title: (choice: Setting) => string) {
    if (!best) return nothing;
    const unit = best.measure === 'loss' ? 'nats per token' : '(1 − cosine of the output)';
    const said = html`<strong>${title(best.choice)}</strong>: ${signed(best.delta)} ${unit}
      <span class="muted"
        >(${['propagated', certaintyWords(best.perToken)].filter(Boolean).join('; ')})</span
      >`;
    return others.length
      ? html`Run on, of ${others.length + 1} settings the model loses least with ${said}.`
      : html`Run on with ${said}.`;
  }

  private fitting(): TemplateResult | typeof nothing {
    const { busy, error } = this.fits;
    if (error) return html`<p role="alert">${error}</p>`;
    if (!busy) return nothing;
    const title = mechanismTitle(busy.name, store.mechanismInfos);
    return html`<p class="muted" role="status">Trying settings of ${title}; ${busy.left} to go.</p>`;
  }

  private legends(measure: Measure): TemplateResult {
    return html`<div class="legends">
      <ai-legend
        .label=${measure === 'recall' ? 'mass kept, every head' : 'output error, every head'}
        .lut=${theme().sequential}
        .ticks=${[0, 0.5, 1].map(at => ({ at, label: percent(at) }))}
      ></ai-legend>
      <span class="muted">map: kept mass in these colours, lost mass in orange</span>
    </div>`;
  }

  private pareto(tried: Tried[], head: string | null, measure: Measure): TemplateResult {
    const { unit } = this;
    const { plan } = store;
    const known = plan && (unit === 'pairs' || plan.spending) ? plan : null;
    const all = points(tried, known, head, unit);
    const planned = head === null ? null : known?.heads.find(h => headKey(h) === head);
    const mark = known
      ? head === null
        ? {
            share: share(priced(known, unit)),
            recall: known.heads.some(h => h.recall === null)
              ? null
              : known.heads.reduce((sum, h) => sum + h.recall!, 0) / known.heads.length,
            outputError: known.heads.reduce((sum, h) => sum + h.outputError, 0) / known.heads.length,
          }
        : planned
          ? {
              share: share(priced(planned, unit)),
              recall: planned.recall,
              outputError: planned.outputError,
            }
          : null
      : null;
    return html`<div class="heading">
        <h2>
          What is spent, what is kept: ${head ? headName(store.previewHead ?? store.shownHead!) : 'all heads'}
        </h2>
        <span class="muted">${all.length} settings; line: nothing tried is better at that price</span>
      </div>
      <ai-pareto
        .points=${all}
        .plan=${mark}
        .measure=${measure}
        .budget=${this.budget}
        .unit=${this.unit}
      ></ai-pareto>
      <div class="names">
        ${[...new Set(all.map(p => p.choice.name))].map(
          name =>
            html`<span
              ><span
                class="swatch"
                .style=${`background: ${toCss(mechanismLook(name, store.mechanismInfos, theme()).fill)}`}
              ></span
              >${mechanismTitle(name, store.mechanismInfos)}</span
            >`,
        )}
      </div>
      <div data-no-export>
        ${store.report ? nothing : toggle('Try every mechanism at more budgets', store.option('compare', 'more', false), on => store.setOption('compare', 'more', on))}
      </div>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return 'compare';
  }

  get caption(): string {
    const head = store.shownHead;
    const one = head && store.option<string>('compare', 'of', 'all') === 'head';
    const settings = this.equal
      ? `each with the best of its settings at ${percent(this.budget)} of the ${UNITS[this.unit]}`
      : 'as computed with the analysis';
    return `Mechanisms in place of dense attention in ${one ? headName(head) : 'all heads'}, ${settings}.`;
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string {
    return csv(
      CSV_HEADER,
      csvRows(this.allTried.value, ({ choice }, core) => standing(choice, core)),
    );
  }
}
