import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { CostFormulas, CostMeasurement, CostPoint } from '../../shared/protocol/engine';
import { COST_RUNS, costLengths } from '../../shared/costLengths';
import { count } from '../../shared/numbers';
import { isCounted, type CostMeasure } from '../model/cost';
import { CostPicture } from '../model/costPicture';
import { mechanismTitle } from '../model/mechanismLook';
import { costRun, forwardRun } from '../host/costRun';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { Component } from '../ui/component';
import type { Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { costKey, costLead, costTable, formulaCheck, forwardTimes } from './costDrawing';
import {
  MEASURED,
  MEASURES,
  askedMeasure,
  costToolbar,
  forwardButton,
  shownNames,
  toggleShown,
} from './costInput';
import { costStyles } from './costStyles';
import '../plots/costPlot';
import { rich, t } from '../host/words';

/** Time, memory, pairs and operations of every mechanism against the length of the text. */
@customElement('ai-cost')
export class CostView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, costStyles];
  private readonly formulas = new Remote(this, 'cost/formulas');
  /** What was measured on this machine earlier. */
  private readonly earlier = new Remote(this, 'host/costs');
  @state() private marked: string | null = null;

  override willUpdate(): void {
    const { id, summary } = store;
    const core = store.shownHead?.core ?? 0;
    const mechanisms = store.mechanismInfos
      .filter(({ name }) => name !== 'dense')
      .map(({ name }) => store.choiceOf(name));
    const lengths = costLengths(this.tokens);
    this.formulas.want(id && summary && mechanisms.length > 0 ? { id, core, mechanisms, lengths } : null);
    const shape = this.formulas.value?.shape;
    this.earlier.want(summary && shape ? { device: summary.device.device, shape } : null);
  }

  // ------------------------------------------------------------ what is known

  private get tokens(): number {
    return store.tokens?.ids.length ?? 0;
  }

  /** Measured on this machine for heads of this shape: in this page, or earlier. */
  private get measurement(): CostMeasurement | null {
    const { result } = costRun;
    const isOurs = result?.device === store.summary?.device.device && isShape(result, this.formulas.value);
    return isOurs ? result : this.earlier.value;
  }

  /** What a run has found so far, or had when it was stopped, before what an earlier one has. */
  private get points(): CostPoint[] {
    const found = costRun.pointsOf(store.id);
    const earlier = costRun.running ? [] : (this.measurement?.points ?? []);
    const keyOf = ({ choice, tokens }: CostPoint) => `${choice.key} ${tokens}`;
    const known = new Set(found.map(keyOf));
    return [...found, ...earlier.filter(point => !known.has(keyOf(point)))];
  }

  private get measure(): CostMeasure {
    return askedMeasure(this.points.length > 0);
  }

  private picture(formulas: CostFormulas): CostPicture {
    const whole = store.option<string>('cost', 'of', 'model') === 'model';
    return new CostPicture(
      {
        formulas,
        points: this.points,
        titleOf: name => mechanismTitle(name, store.mechanismInfos),
        counted: choice => {
          const found = store.mechanismResult(choice);
          return found && found.heads.length > 0 ? found.pairs / found.heads.length : null;
        },
      },
      {
        measure: this.measure,
        heads: whole ? formulas.shape.heads : 1,
        tokens: this.tokens,
        shown: shownNames(),
      },
    );
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const empty = emptyState('cost');
    if (empty) return empty;
    const formulas = this.formulas.value;
    if (!formulas) {
      return html`<div class="state">
        ${
          this.formulas.error
            ? requestState(this.formulas, '')
            : html`<p class="muted">${t('Costs are shown when all layers are finished.')}</p>`
        }
      </div>`;
    }
    const picture = this.picture(formulas);
    const lines = picture.lines();
    const narrow = this.width < 980;
    return html`
      ${costToolbar(this, picture.asked.measure, { known: this.measurement !== null, narrow: this.width < 700, start: () => this.start(picture) })}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        <div class="lead" role="status">${this.lead(picture)}</div>
        <div class="two ${narrow ? 'narrow' : ''}">
          <section aria-label=${t('Cost against text length')}>
            ${
              lines.length > 0
                ? html`<ai-cost-plot
                    .lines=${lines}
                    .measure=${picture.asked.measure}
                    .here=${this.tokens}
                    .marked=${this.marked}
                  ></ai-cost-plot>`
                : nothingMeasured()
            }
            ${costKey(picture.asked.measure, this.measurement, this.points.length > 0)}
          </section>
          <section aria-label=${t('The mechanisms')} class="scroll">
            ${costTable(picture, {
              name: MEASURES.find(({ value }) => value === picture.asked.measure)!.label,
              narrow: this.width < 560,
              toggle: toggleShown,
              mark: key => (this.marked = key),
            })}
          </section>
        </div>
        <div class="two below ${narrow ? 'narrow' : ''}">
          <section aria-label=${t('The share of attention in a whole forward')}>
            ${
              store.report
                ? nothing
                : html`<h2>${t('How much of a forward is attention')}</h2>
                    ${forwardTimes(forwardRun.times(store.id))} ${forwardButton()}`
            }
          </section>
          <section aria-label=${t('A check of the formulas')}>${formulaCheck(formulas)}</section>
        </div>
      </div>
    `;
  }

  private lead(picture: CostPicture): TemplateResult | typeof nothing {
    const failure = costRun.failure ?? forwardRun.failure;
    return failure ? html`<span role="alert">${failure}</span>` : costLead(picture);
  }

  private start(picture: CostPicture): void {
    const { id } = store;
    if (!id) return;
    // What is counted in the same runs stays in sight.
    if (!isCounted(this.measure)) store.setOption('cost', 'measure', 'time');
    void costRun.start({
      id,
      core: store.shownHead?.core ?? 0,
      mechanisms: picture.rows
        .filter(row => row !== picture.dense && picture.isShown(row))
        .map(({ choice }) => choice),
      lengths: MEASURED,
      ...COST_RUNS,
    });
  }

  // ------------------------------------------------------------ saving

  readonly saveName = 'cost';

  get caption(): string {
    const { label } = MEASURES.find(({ value }) => value === this.measure)!;
    const of = store.option<string>('cost', 'of', 'model') === 'head' ? t('one head') : t('all heads');
    return t('Cost of attention against the length of the text: {0} of {1}.', label, of);
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string | null {
    const formulas = this.formulas.value;
    return formulas && this.picture(formulas).toCsv();
  }
}

function nothingMeasured(): TemplateResult {
  return html`<div class="placeholder">
    <p>
      ${rich("Time depends on the machine. Press “Measure on this machine” to time one head of this model's shape under each mechanism at {0} to {1} tokens (about a minute); memory, pairs and operations follow from formulas and are there now.", count(MEASURED[0]!), count(MEASURED.at(-1)!))}
    </p>
  </div>`;
}

function isShape(known: CostMeasurement | null, formulas: CostFormulas | null): boolean {
  const [own, wanted] = [known?.shape, formulas?.shape];
  return own?.dim === wanted?.dim && own?.valueDim === wanted?.valueDim && own?.causal === wanted?.causal;
}
