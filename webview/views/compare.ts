import { computed } from '@lit-labs/preact-signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { BUDGET_UNITS, type BudgetUnit, type Setting } from '../../shared/protocol/engine';
import { UNITS } from '../../shared/budgetUnits';
import { DENSE } from '../../shared/setting';
import { toCss } from '../draw/colour';
import { CSV_HEADER, csvRows } from '../model/compareRows';
import { fairComparison, type RunOn } from '../model/fairComparison';
import { csv, percent, signed } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { mechanismLook, mechanismTitle } from '../model/mechanismLook';
import { headName, shortName } from '../model/names';
import { denseIsWhatIf, plainStanding, standing } from '../model/standing';
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
import './measuresTable';
import './planSection';
import './compareTable';
import { compareStyles } from './compareStyles';
import { rich, t } from '../host/words';

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
      return html`<div class="state"><p class="muted">${t('The first heads are being computed.')}</p></div>`;
    const { measure, head } = this;
    const { unit } = this;
    const tried = inUnit(this.allTried.value, unit);
    if (!store.summary && this.allTried.value.length === 0)
      return html`<div class="state">
        <p class="muted">${t('Mechanisms are compared when all layers are finished.')}</p>
      </div>`;
    const able = tried.filter(one => one.choice.name !== DENSE.name || denseIsWhatIf());
    const rows = this.equal ? atBudget(able, this.budget) : able.filter(one => one.computed);
    const layout = this.width < 1000 ? 'narrow' : this.width < 1500 ? '' : 'wide';
    return html`
      ${this.toolbar()}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        <div class="lead" role="status">${this.lead(rows)}</div>
        <div class="two ${layout}">
          <section aria-label=${t('Mechanisms side by side')}>
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
                    ${t('No mechanism was computed with this analysis: add one, or find a plan.')}
                  </p>`
            }
            ${this.fitting()} ${this.addForm()}
            ${store.option('compare', 'details', false) && rows.length ? html`<ai-measures .rows=${rows} .head=${head} .waiting=${this.fits.busy !== null}></ai-measures>` : nothing}
          </section>
          <section class="pareto" aria-label=${t('What is spent against what is kept')}>
            ${tried.length ? this.pareto(tried, head, measure) : nothing}
          </section>
          ${store.report && !store.plan ? nothing : html`<div class="plan"><ai-plan></ai-plan></div>`}
        </div>
      </div>
    `;
  }

  private settings(): TemplateResult {
    return html`${segmented(
      t('Settings'),
      this.equal ? 'budget' : 'computed',
      [
        { value: 'budget', label: t('at equal budget') },
        { value: 'computed', label: t('as computed') },
      ],
      value => store.setOption('compare', 'rows', value),
    )}
    ${slider(
      t('Budget'),
      Math.log10(this.budget),
      { min: -2.5, max: 0, step: 0.02 },
      t('{0} of the {1}', percent(this.budget), t(UNITS[this.unit])),
      value => store.setOption('compare', 'budget', Number((10 ** value).toPrecision(2))),
    )}
    ${choose(
      t('Paid in'),
      this.unit,
      BUDGET_UNITS.map(value => ({ value, label: t(UNITS[value]) })),
      value => store.setOption('compare', 'unit', value),
    )}`;
  }

  private toolbar(): TemplateResult {
    const head = store.shownHead;
    return html`<div class="toolbar">
      ${store.report ? nothing : this.settings()}
      ${segmented(
        t('Of'),
        store.option<string>('compare', 'of', 'all'),
        [
          { value: 'all', label: t('all heads') },
          { value: 'head', label: head ? shortName(head) : t('one head') },
        ],
        value => store.setOption('compare', 'of', value),
      )}
      ${segmented(
        t('By'),
        this.measure,
        [
          { value: 'recall', label: t('mass kept') },
          { value: 'outputError', label: t('output error') },
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
        ${store.report ? nothing : button(t('Add a mechanism'), () => (this.adding = this.firstMissing()), { secondary: true })}
        ${toggle(t('More measures'), store.option('compare', 'details', false), on => store.setOption('compare', 'details', on))}
      </div>`;
    const info = store.mechanismInfos.find(m => m.name === adding.name);
    return html`<div class="toolbar add" data-no-export>
      ${choose(
        t('Add'),
        adding.name,
        store.offeredMechanisms.map(m => ({ value: m.name, label: m.title })),
        name => (this.adding = store.choiceOf(name)),
      )}
      ${info ? parameterForm(info, adding, setting => (this.adding = setting)) : nothing}
      ${button(this.added.busy ? t('Computing…') : t('Compare it'), () => void this.add(adding), { disabled: this.added.busy })}
      ${button(t('Close'), () => (this.adding = null), { secondary: true })}
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
      return html`${rich('As computed, the settings spend from {0} to {1} of the pairs: what spends so differently is not ranked', percent(apart.least), percent(apart.most))}${store.report ? '.' : html`${rich('; {0} it is.', html`<em>${t('at equal budget')}</em>`)}`}`;
    const title = (choice: Setting) => mechanismTitle(choice.name, store.mechanismInfos);
    const names = (list: readonly Tried[]) => list.map(({ choice }) => title(choice)).join(', ');
    const [best] = ranked;
    if (!best)
      return over.length && budget !== null
        ? html`${rich('Nothing spends so little as {0} of the {1}.', percent(budget), t(UNITS[this.unit]))}`
        : nothing;
    const of = head ? headName(store.previewHead ?? store.shownHead!) : t('all heads');
    const value = html`<strong title=${exact(best.value * 100, '%')}>${percent(best.value)}</strong>`;
    const alone = ranked.length === 1;
    return html`${rich(
      'Of {0}, {1} {2} with {3} of the {4} {5}. {6} {7}',
      of,
      html`<strong>${title(best.row.choice)}</strong>`,
      measure === 'recall'
        ? html`${rich('keeps {0}{1} of the mass', alone ? nothing : t('the most: '), value)}`
        : html`${rich('changes the output {0}by {1},', alone ? nothing : t('least, '), value)}`,
      percent(best.numbers.share),
      t(UNITS[this.unit]),
      html`<span class="muted">${rich('(local, {0})', standing(best.row.choice))}</span>`,
      over.length ? html`${rich('Not compared, over budget: {0}.', names(over))}` : nothing,
      this.ranOn(runs, title),
    )}
    ${runs.length && notRun.length ? html`<span class="muted">${rich('The model was not run with: {0}.', names(notRun))}</span>` : nothing}`;
  }

  private ranOn([best, ...others]: RunOn[], title: (choice: Setting) => string) {
    if (!best) return nothing;
    const unit = best.measure === 'loss' ? t('nats per token') : t('(1 − cosine of the output)');
    const said = html`<strong>${title(best.choice)}</strong>: ${signed(best.delta)} ${unit}
      <span class="muted"
        >(${['propagated', certaintyWords(best.perToken)].filter(Boolean).join('; ')})</span
      >`;
    return others.length
      ? html`${rich('When the model is run with each of {0} settings, this one costs it least: {1}.', others.length + 1, said)}`
      : html`${rich('When the model is run with it: {0}.', said)}`;
  }

  private fitting(): TemplateResult | typeof nothing {
    const { busy, error } = this.fits;
    if (error) return html`<p role="alert">${error}</p>`;
    if (!busy) return nothing;
    const title = mechanismTitle(busy.name, store.mechanismInfos);
    return html`<p class="muted" role="status">
      ${rich('Trying settings of {0}; {1} to go.', title, busy.left)}
    </p>`;
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
          ${t('What is spent, what is kept:')}
          ${head ? headName(store.previewHead ?? store.shownHead!) : t('all heads')}
        </h2>
        <span class="muted"
          >${rich('{0} settings; line: nothing tried is better at that price', all.length)}</span
        >
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
        ${store.report ? nothing : toggle(t('Try every mechanism at more budgets'), store.option('compare', 'more', false), on => store.setOption('compare', 'more', on))}
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
      ? t('each with the best of its settings at {0} of the {1}', percent(this.budget), t(UNITS[this.unit]))
      : t('as computed with the analysis');
    return t(
      'Mechanisms in place of dense attention in {0}, {1}.',
      one ? headName(head) : t('all heads'),
      settings,
    );
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string {
    return csv(
      CSV_HEADER,
      csvRows(this.allTried.value, ({ choice }, core) => plainStanding(choice, core)),
    );
  }
}
