import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { UNITS } from '../../shared/budgetUnits';
import {
  BUDGET_UNITS,
  type BudgetUnit,
  type Setting,
  type Plan,
  type PlanFormat,
} from '../../shared/protocol/engine';
import { paidIn, spentBy } from '../model/planSpent';
import { toCss } from '../draw/colour';
import { count, number, percent, signed } from '../../shared/numbers';
import { exact, progressWords } from '../model/amounts';
import { mechanismLook, mechanismTitle, parameterWords } from '../model/mechanismLook';
import { headName } from '../model/names';
import { standing } from '../model/standing';
import { theme } from '../draw/theme';
import { allTried, headKey, share } from '../model/tried';
import { certaintyWords } from '../model/certainty';
import { embeddingWords } from '../model/embedding';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { button, choose } from '../ui/controls';
import { stateStyles } from '../ui/stateStyles';
import { DENSE } from '../../shared/setting';
import '../plots/planBars';
import '../plots/planCurve';
import '../plots/planGrid';
import { rich, said, t } from '../host/words';

/** "+0.05 nats per token", or how far the output turns where there is no loss. */
function costWords(plan: Plan, delta: number): string {
  return plan.effect.measure === 'loss'
    ? t('{0} nats per token', signed(delta))
    : t('{0} (1 − cosine of the output)', signed(delta));
}

const EXPORTS: [PlanFormat, string, string][] = [
  ['flex', 'FlexAttention', t('mask functions for PyTorch')],
  ['minference', 'MInference', t('best_pattern, the nearest of its patterns')],
  ['duo', 'DuoAttention', t('which heads need everything')],
  ['json', 'JSON', t('the whole plan')],
  ['csv', 'CSV', t('a row per head')],
];

/** The mechanism that each head should have for a budget, what that costs, and what the alternatives cost. */
@customElement('ai-plan')
export class PlanSection extends Component {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      .head {
        display: flex;
        flex-wrap: wrap;
        gap: 6px 16px;
        align-items: center;
        margin-bottom: 6px;
      }
      .exports {
        margin-left: auto;
      }
      .headline {
        font-size: 1.2em;
        line-height: 1.4;
        margin: 4px 0 10px;
        max-width: 62em;
      }
      .where {
        font-size: 11px;
      }
      .two {
        display: grid;
        grid-template-columns: minmax(0, 1.1fr) minmax(0, 1fr);
        gap: 10px 32px;
      }
      .two.narrow {
        grid-template-columns: minmax(0, 1fr);
      }
      section {
        min-width: 0;
      }
      ai-plan-curve {
        height: 210px;
      }
      .legend {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
        font-size: 11px;
        margin: 6px 0;
      }
      .legend span.swatch {
        display: inline-block;
        width: 10px;
        height: 10px;
        margin-right: 5px;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .detail {
        min-height: 54px;
      }
      .detail .control {
        max-width: 100%;
      }
      .detail vscode-dropdown {
        min-width: 0;
        flex: 1;
      }
      .key {
        font-size: 11px;
        color: var(--muted);
      }
      details {
        margin-top: 10px;
      }
      summary {
        cursor: pointer;
        color: var(--muted);
      }
      .error {
        color: var(--vscode-errorForeground, inherit);
      }
    `,
  ];

  private get budget(): number {
    return store.option('compare', 'budget', 0.1);
  }

  /** What the next plan is to pay in. */
  private get unit(): BudgetUnit {
    const wanted = store.option<string>('compare', 'unit', 'pairs');
    return BUDGET_UNITS.find(unit => unit === wanted) ?? 'pairs';
  }

  override render() {
    const { plan, planning } = store;
    return html`<div class="head">
        <h2>${t('The plan: a mechanism for each head')}</h2>
        ${store.report ? nothing : html`${this.search(plan)} ${plan ? this.exports() : nothing}`}
      </div>
      ${
        planning?.error
          ? html`<p class="error" role="alert">${rich('No plan was made: {0}', planning.error)}</p>`
          : nothing
      }
      ${plan ? this.found(plan) : this.promise()}`;
  }

  private search(plan: Plan | null): TemplateResult {
    const { planning } = store;
    if (planning && !planning.error) {
      const done = planning.fraction * 100;
      return html`<span class="status" role="status"
        ><span
          class="progress"
          role="progressbar"
          aria-label=${t('Search of a plan')}
          aria-valuemin="0"
          aria-valuemax="100"
          aria-valuenow=${Math.round(done)}
          ><div .style=${`width: ${done.toFixed(1)}%`}></div></span
        ><span>${said(planning.message)} (${progressWords(planning.fraction, planning.secondsLeft)})</span
        ><button class="link" data-no-export @click=${() => store.host.send({ type: 'cancelPlan' })}>
          ${t('Cancel')}
        </button></span
      >`;
    }
    const { unit } = this;
    const again = plan && Math.abs(plan.budget - this.budget) < 1e-9 && (plan.unit ?? 'pairs') === unit;
    return html`${button(
      again ? t('Find it again') : t('Find a plan for {0} of the {1}', percent(this.budget), t(UNITS[unit])),
      () => store.host.send({ type: 'findPlan', budget: this.budget, unit, mechanisms: [] }),
      { secondary: plan !== null, disabled: !store.summary },
    )}`;
  }

  private exports(): TemplateResult {
    return html`<span class="exports" data-no-export
      ><span class="muted">${t('Export')}</span>${EXPORTS.map(
        ([format, label, title]) =>
          html`<button
            class="plain"
            title=${title}
            aria-label=${t('Export the plan as {0}: {1}', label, title)}
            @click=${() => store.host.send({ type: 'exportPlan', format })}
          >
            ${label}
          </button>`,
      )}</span
    >`;
  }

  private promise(): TemplateResult {
    return html`<p class="muted">
      ${t('Each head gets the mechanism and the parameters that cost the model least, so that all heads together spend no more than the budget. The choice starts from local errors and is corrected by running the model on.')}
    </p>`;
  }

  private found(plan: Plan): TemplateResult {
    return html`<p class="headline" role="status">${this.headline(plan)}</p>
      ${plan.effect.embedding ? html`<p class="muted">${embeddingWords(plan.effect.embedding)}.</p>` : nothing}
      ${plan.notes.map(note => html`<p class="muted">${said(note.text)}</p>`)}
      <div class="two ${this.width < 760 ? 'narrow' : ''}">
        <section aria-label=${t('The plan by head')}>
          <ai-plan-grid .plan=${plan} @change-head=${this.focusMenu}></ai-plan-grid>
          ${this.legend(plan)}
          <div class="detail">${this.detail(plan)}</div>
        </section>
        <section aria-label=${t('What the plan costs')}>
          <h2>
            ${plan.effect.measure === 'loss' ? t('Loss change, nats per token') : t('Change of the output, 1 − cosine')}${rich(', at about {0} of the {1}', percent(plan.budget), paidIn(plan))}
          </h2>
          <ai-plan-bars .plan=${plan}></ai-plan-bars>
          <h2>${t('At other budgets')}</h2>
          <ai-plan-curve .plan=${plan}></ai-plan-curve>
          <div class="key">
            ${rich('● measured, with its 95 % interval, ○ predicted from local errors; coloured: one mechanism in every head{0}', plan.floor ? t('; □ the floor') : '')}
          </div>
        </section>
      </div>
      ${this.triedTable(plan)}`;
  }

  /** The point in one sentence, honest when the plan does not win. */
  private headline(plan: Plan): TemplateResult {
    const spent = spentBy(plan);
    const best = [...plan.uniform].sort((a, b) => a.effect.delta - b.effect.delta)[0];
    const strong = (delta: number) => html`<strong title=${exact(delta)}>${costWords(plan, delta)}</strong>`;
    const against = best
      ? html`${rich('the best single mechanism, {0}, costs {1}', mechanismTitle(best.choice.name, store.mechanismInfos), strong(best.effect.delta))}`
      : html`${t('no single mechanism fits into the budget')}`;
    const over =
      spent > plan.budget * 1.001
        ? html`${rich(', more than the budget of {0},', percent(plan.budget))}`
        : nothing;
    const spends = html`${rich('With {0} of the {1}{2}', html`<strong title=${exact(spent * 100, '%')}>${percent(spent)}</strong>`, paidIn(plan), over)}`;
    const costs =
      plan.effect.delta > 0
        ? html`${rich('the plan costs {0}', strong(plan.effect.delta))}`
        : html`${rich('the plan costs nothing ({0})', strong(plan.effect.delta))}`;
    const where = html`<span
      class="where muted"
      title=${t("On other texts it may lose more: the command line's plan tests that")}
      >(${[certaintyWords(plan.effect.perToken), t('propagated, on the text that it was chosen for')].filter(Boolean).join('; ')})</span
    >`;
    const floor = plan.floor
      ? html` ${rich('The floor, {0}, which looks at every score to choose, costs {1}.', mechanismTitle(plan.floor.choice.name, store.mechanismInfos), strong(plan.floor.effect.delta))}`
      : nothing;
    if (plan.wins === 'yes') return html`${spends} ${costs}; ${against}. ${floor} ${where}`;
    if (plan.wins === 'undecided')
      return html`${rich('{0} {1}; {2}. Whether it wins is {3}. {4} {5}', spends, costs, against, html`<strong>${t('undecided')}</strong>`, floor, where)}`;
    const chance =
      plan.random.runs > 0 && plan.random.least < Math.min(plan.effect.delta, best?.effect.delta ?? Infinity)
        ? html`${rich('an assignment drawn at random costs {0}', strong(plan.random.least))}`
        : against;
    return html`${rich('The plan does {0}: {1} it costs {2}, but {3}. {4}', html`<strong>${t('not win')}</strong>`, spends, strong(plan.effect.delta), chance, where)}`;
  }

  private legend(plan: Plan): TemplateResult {
    const used = new Map<string, number>();
    for (const { choice } of plan.heads) used.set(choice.name, (used.get(choice.name) ?? 0) + 1);
    const look = theme();
    return html`<div class="legend">
      ${[...used]
        .sort((a, b) => b[1] - a[1])
        .map(([name, heads]) => {
          const { fill, label } = mechanismLook(name, store.mechanismInfos, look);
          return html`<span
            ><span class="swatch" .style=${`background: ${toCss(fill)}`}></span>${label}:
            ${mechanismTitle(name, store.mechanismInfos)}, ${count(heads)}
            ${heads === 1 ? t('head') : t('heads')}</span
          >`;
        })}
      <span class="muted">${t("number: share of the head's pairs, %")}</span>
    </div>`;
  }

  /** The shown head in words, with the menu that gives it another mechanism. */
  private detail(plan: Plan): TemplateResult | typeof nothing {
    const head = store.previewHead ?? store.shownHead;
    const planned = head && plan.heads.find(h => headKey(h) === headKey(head));
    if (!head || !planned) return nothing;
    const title = (choice: Setting) => {
      const info = store.mechanismInfos.find(m => m.name === choice.name);
      const params = parameterWords(choice, info);
      return `${mechanismTitle(choice.name, store.mechanismInfos)}${params ? ` (${params})` : ''}`;
    };
    const choices = this.alternatives(plan, planned);
    const now = planned.choice.key;
    return html`<div>
        ${rich('{0}: {1}, {2} of its pairs{3}, output error {4} {5}', headName(head), html`<strong>${title(planned.choice)}</strong>`, percent(share(planned)), planned.recall === null ? nothing : html`${rich(', keeps {0} of the mass', percent(planned.recall))}`, percent(planned.outputError), html`<span class="muted">${rich('(local, {0})', standing(planned.choice, head.core))}</span>`)}
      </div>
      <div data-no-export>
        ${
          store.report ||
          (store.previewHead && headKey(store.previewHead) !== (store.shownHead && headKey(store.shownHead)))
            ? nothing
            : choose(
                t('Change it to'),
                now,
                choices.map(({ key, choice, words }) => ({
                  value: key,
                  label: words ? `${title(choice)}: ${words}` : title(choice),
                })),
                key => {
                  const found = choices.find(c => c.key === key);
                  if (found)
                    store.host.send({
                      type: 'changePlan',
                      change: { core: head.core, head: head.head, choice: found.choice },
                    });
                },
              )
        }
      </div>`;
  }

  /** What a head may be given by hand: of each mechanism the setting nearest to what it spends now, dense, and what is selected. */
  private alternatives(plan: Plan, planned: Plan['heads'][number]) {
    const key = headKey(planned);
    const spent = Math.log(Math.max(1, planned.pairs));
    const tried = [
      ...plan.candidates.filter(c => headKey(c) === key),
      ...allTried(store.mechanisms, null).flatMap(one => {
        const mine = one.heads.get(key);
        return mine ? [{ ...mine, choice: one.choice }] : [];
      }),
    ];
    const nearest = new Map<string, (typeof tried)[number]>();
    for (const one of tried) {
      const before = nearest.get(one.choice.name);
      const off = (c: typeof one) => Math.abs(Math.log(Math.max(1, c.pairs)) - spent);
      if (!before || off(one) < off(before)) nearest.set(one.choice.name, one);
    }
    const words = (c: { pairs: number; densePairs: number; outputError: number }) =>
      t('{0} of the pairs, error {1}', percent(share(c)), percent(c.outputError));
    const list = [
      { key: planned.choice.key, choice: planned.choice, words: words(planned) },
      ...[...nearest.values()].map(c => ({ key: c.choice.key, choice: c.choice, words: words(c) })),
      { key: DENSE.key, choice: DENSE, words: t('all pairs') },
    ];
    const { mechanism } = store.selection;
    if (mechanism) list.push({ key: mechanism.key, choice: mechanism, words: '' });
    return list.filter((one, at) => list.findIndex(other => other.key === one.key) === at);
  }

  private readonly focusMenu = () => {
    void this.updateComplete.then(() =>
      this.renderRoot.querySelector<HTMLElement>('.detail vscode-dropdown')?.focus(),
    );
  };

  private triedTable(plan: Plan): TemplateResult {
    const { tried } = plan;
    const divergence = tried.some(one => one.divergence !== undefined);
    return html`<details data-no-export>
      <summary>
        ${rich('What was tried: {0} runs of the model, {1} local settings', count(tried.length), count(plan.candidates.length))}
      </summary>
      <table>
        <tr>
          <th>${t('run')}</th>
          <th class="number">
            ${plan.effect.measure === 'loss' ? t('loss change, nats') : t('change of the output')}
          </th>
          ${divergence ? html`<th class="number">${t('divergence, nats')}</th>` : nothing}
          <th>${t('taken')}</th>
        </tr>
        ${tried.map(
          one =>
            html`<tr>
              <td>${one.what}</td>
              <td class="number" title=${exact(one.delta)}>${signed(one.delta)}</td>
              ${divergence ? html`<td class="number">${one.divergence === undefined ? '–' : number(one.divergence)}</td>` : nothing}
              <td>${one.kept ? t('yes') : t('no')}</td>
            </tr>`,
        )}
      </table>
    </details>`;
  }
}
