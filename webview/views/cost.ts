import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type {
  CostCurve,
  CostFormulas,
  CostMeasurement,
  CostPoint,
  ForwardTimes,
  MechanismChoice,
} from '../../shared/protocol/engine';
import {
  at,
  bytes,
  costWords,
  crossing,
  fitTime,
  milliseconds,
  type CostMeasure,
  type Crossing,
  type TimeFit,
} from '../model/cost';
import { costLengths, FAR_LENGTH } from '../../shared/costLengths';
import { count, csv, exact, number, percent } from '../../shared/numbers';
import { mechanismTitle, parameterWords } from '../model/mechanismLook';
import { theme } from '../draw/theme';
import { settingKey } from '../model/tried';
import { costRun } from '../host/costRun';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { lineColour, type CostLine } from '../plots/costPlot';
import { Component } from '../ui/component';
import { button, segmented } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { costStyles } from './costStyles';
import '../plots/costPlot';
import '../plots/forwardBars';

/** Lengths that are measured. */
const MEASURED = [256, 512, 1024, 2048, 4096, 8192];
const SHOWN = 'local,strided,adaptive-span,lsh,routing,bp,performer';

const MEASURES: { value: CostMeasure; label: string }[] = [
  { value: 'time', label: 'time' },
  { value: 'memory', label: 'memory' },
  { value: 'pairs', label: 'pairs' },
  { value: 'flops', label: 'operations' },
];

interface Row {
  key: string;
  choice: MechanismChoice;
  title: string;
  curve: CostCurve;
  points: CostPoint[];
  fit: TimeFit | null;
  crossing: Crossing | null;
}

/** Time, memory, pairs and operations of every mechanism against the length of the text. */
@customElement('ai-cost')
export class CostView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, costStyles];
  private readonly formulas = new Remote(this, 'cost/formulas');
  /** What was measured on this machine, now or earlier. */
  @state() private measurement: CostMeasurement | null = null;
  private recalled = '';
  @state() private failure: string | null = null;
  @state() private forward: ForwardTimes | null = forwards.get(store.id ?? '') ?? null;
  @state() private timing: AbortController | null = null;
  @state() private marked: string | null = null;

  /** Measured on this machine for heads of this shape: in this page, or earlier. */
  private get known(): CostMeasurement | null {
    const { result } = costRun;
    return result && result.device === store.summary?.device.device && isShape(result, this.formulas.value)
      ? result
      : this.measurement;
  }

  private get measure(): CostMeasure {
    // Until this machine was measured, what follows from formulas says more than an empty plot.
    const first = costRun.running || this.known ? 'time' : 'memory';
    return store.option<string>('cost', 'measure', store.report ? 'memory' : first) as CostMeasure;
  }

  /** What one head costs is drawn times this. */
  private get heads(): number {
    const whole = store.option<string>('cost', 'of', 'model') === 'model';
    return whole ? (this.formulas.value?.shape.heads ?? 1) : 1;
  }

  private get shown(): Set<string> {
    return new Set(store.option<string>('cost', 'shown', SHOWN).split(','));
  }

  private get tokens(): number {
    return store.tokens?.ids.length ?? 0;
  }

  override willUpdate(): void {
    const { id, summary } = store;
    const core = store.shownHead?.core ?? 0;
    const mechanisms = store.mechanismInfos
      .filter(({ name }) => name !== 'dense')
      .map(({ name }) => store.choiceOf(name));
    const lengths = costLengths(this.tokens);
    this.formulas.want(id && summary && mechanisms.length > 0 ? { id, core, mechanisms, lengths } : null);
    const shape = this.formulas.value?.shape;
    const device = summary?.device.device;
    const wanted = shape && device ? JSON.stringify([device, shape.dim, shape.valueDim, shape.causal]) : '';
    if (wanted && wanted !== this.recalled) {
      this.recalled = wanted;
      void store.host
        .request('host/costs', { device: device!, shape: shape! })
        .then(known => wanted === this.recalled && (this.measurement = known))
        .catch(() => undefined);
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.timing?.abort();
  }

  // ------------------------------------------------------------ what is known

  private rows(formulas: CostFormulas): Row[] {
    const points = costRun.running ? costRun.points : (this.known?.points ?? []);
    const of = (curve: CostCurve) => {
      const key = settingKey(curve.choice);
      const own = points.filter(p => settingKey(p.choice) === key);
      const fit = fitTime(
        own.map(p => ({
          operations: at(formulas.lengths, curve.flops, p.tokens),
          milliseconds: p.milliseconds.median,
        })),
      );
      return { curve, points: own, fit };
    };
    const dense = of(formulas.dense);
    return [formulas.dense, ...formulas.curves].map(curve => {
      const own = of(curve);
      return {
        ...own,
        key: settingKey(curve.choice),
        choice: curve.choice,
        title: mechanismTitle(curve.choice.name, store.mechanismInfos),
        crossing: curve === formulas.dense ? null : crossing(formulas.lengths, dense, own),
      };
    });
  }

  /** Cost of one head by formula at one length; time only where it was measured. */
  private byFormula(row: Row, lengths: readonly number[], tokens: number): number | null {
    const { curve, fit } = row;
    const flops = at(lengths, curve.flops, tokens);
    switch (this.measure) {
      case 'time':
        return fit ? fit.overhead + fit.perOperation * flops : null;
      case 'memory':
        return at(lengths, curve.bytes, tokens);
      case 'pairs':
        return at(lengths, curve.pairs, tokens);
      case 'flops':
        return flops;
    }
  }

  private line(row: Row, formulas: CostFormulas): CostLine {
    const { measure, heads } = this;
    const { lengths } = formulas;
    const line = lengths.flatMap(tokens => {
      const value = this.byFormula(row, lengths, tokens);
      return value === null ? [] : [{ tokens, value: value * heads }];
    });
    const points =
      measure === 'time'
        ? row.points.map(({ tokens, milliseconds: ms }) => ({
            tokens,
            value: ms.median * heads,
            low: ms.low * heads,
            high: ms.high * heads,
          }))
        : measure === 'pairs'
          ? [...row.points, ...this.onThisText(row)].map(({ tokens, pairs }) => {
              const value = pairs * heads;
              return { tokens, value, low: value, high: value };
            })
          : [];
    const crossed = measure === 'time' && row.crossing && row.crossing.tokens > 0 ? row.crossing : null;
    const value = crossed && this.byFormula(row, lengths, crossed.tokens);
    return {
      key: row.key,
      name: row.choice.name,
      title: row.title,
      line,
      dashed: measure !== 'time' && row.curve.count !== 'exact',
      points,
      crossing:
        crossed && value !== null
          ? { tokens: crossed.tokens, value: value * heads, words: crossingWords(row.title, crossed) }
          : null,
    };
  }

  /** Pairs of one head, on average, that the analysis counted for this mechanism on this text. */
  private onThisText({ choice }: Row): { tokens: number; pairs: number }[] {
    const found = store.mechanismResult(choice);
    return found && found.heads.length > 0
      ? [{ tokens: this.tokens, pairs: found.pairs / found.heads.length }]
      : [];
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
            : html`<p class="muted">Costs are shown when all layers are finished.</p>`
        }
      </div>`;
    }
    const rows = this.rows(formulas);
    const shown = rows.filter(
      r => r.choice.name === 'dense' || (this.shown.has(r.choice.name) && !r.curve.refused),
    );
    const lines = shown.map(row => this.line(row, formulas)).filter(l => l.line.length || l.points.length);
    const narrow = this.width < 980;
    return html`
      ${this.toolbar()}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        <div class="lead" role="status">${this.lead(rows, formulas)}</div>
        <div class="two ${narrow ? 'narrow' : ''}">
          <section aria-label="Cost against text length">
            ${
              lines.length > 0
                ? html`<ai-cost-plot
                    .lines=${lines}
                    .measure=${this.measure}
                    .here=${this.tokens}
                    .marked=${this.marked}
                  ></ai-cost-plot>`
                : this.nothingMeasured()
            }
            ${this.key()}
          </section>
          <section aria-label="The mechanisms" class="scroll">${this.table(rows, formulas)}</section>
        </div>
        <div class="two below ${narrow ? 'narrow' : ''}">
          <section aria-label="The share of attention in a whole forward">${this.forwardPart()}</section>
          <section aria-label="A check of the formulas">${this.check(formulas)}</section>
        </div>
      </div>
    `;
  }

  private toolbar(): TemplateResult {
    return html`<div class="toolbar">
      ${segmented('Show', this.measure, store.report ? MEASURES.filter(m => m.value !== 'time') : MEASURES, v => store.setOption('cost', 'measure', v))}
      ${segmented(
        'of',
        store.option<string>('cost', 'of', 'model'),
        [
          { value: 'model', label: 'all heads' },
          { value: 'head', label: 'one head' },
        ],
        v => store.setOption('cost', 'of', v),
      )}
      ${
        costRun.running
          ? html`<span class="status" role="status"
              ><span
                class="progress"
                role="progressbar"
                aria-label="Measuring"
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=${Math.round((store.cost?.fraction ?? 0) * 100)}
                ><div .style=${`width: ${((store.cost?.fraction ?? 0) * 100).toFixed(1)}%`}></div></span
              >${store.cost?.message ?? 'Measuring'}
              <button class="link" data-no-export @click=${() => costRun.cancel()}>Cancel</button></span
            >`
          : store.report
            ? nothing
            : button(this.known ? 'Measure again' : 'Measure on this machine', () => this.startMeasuring(), {
                secondary: this.known !== null,
                title: 'Times the mechanisms that are shown, on random heads of this shape',
              })
      }
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private nothingMeasured(): TemplateResult {
    return html`<div class="placeholder">
      <p>
        Time depends on the machine. Press “Measure on this machine” to time one head of this model's shape
        under each mechanism at ${count(MEASURED[0]!)} to ${count(MEASURED.at(-1)!)} tokens (about a minute);
        memory, pairs and operations follow from formulas and are there now.
      </p>
    </div>`;
  }

  /** The point in a sentence: who wins at this length, and from where. */
  private lead(rows: Row[], formulas: CostFormulas): TemplateResult | typeof nothing {
    const failure = costRun.failure ?? this.failure;
    if (failure) return html`<span role="alert">${failure}</span>`;
    const { measure, tokens, heads } = this;
    const dense = rows[0]!;
    const here = this.byFormula(dense, formulas.lengths, tokens);
    const visible = rows.slice(1).filter(r => this.shown.has(r.choice.name) && !r.curve.refused);
    if (here === null) return nothing;
    const of = heads === 1 ? 'one head' : `all ${count(heads)} heads`;
    const what = { time: 'takes', memory: 'holds', pairs: 'computes', flops: 'needs' }[measure];
    const unit = measure === 'pairs' ? ' pairs' : measure === 'flops' ? ' operations' : '';
    const denseWords = html`At ${count(tokens)} tokens dense attention of ${of} ${what}
      <strong title=${exact(here * heads)}>${costWords(here * heads, measure)}${unit}</strong>`;
    if (measure === 'time') {
      const first = visible
        .filter(r => r.crossing)
        .sort((a, b) => a.crossing!.tokens - b.crossing!.tokens)[0];
      if (!first) return html`${denseWords}; none of those shown is measured to be faster at any length.`;
      return html`${denseWords};
      ${
        first.crossing!.tokens === 0
          ? html`<strong>${first.title}</strong> is faster at every length measured.`
          : html`<strong>${first.title}</strong> is the first to be faster, from
              <strong>${count(round2(first.crossing!.tokens))} tokens</strong>
              on${first.crossing!.how === 'extrapolated' ? ' (extrapolated)' : ''}.`
      }`;
    }
    const best = visible
      .map(r => ({ r, value: this.byFormula(r, formulas.lengths, tokens)! }))
      .sort((a, b) => a.value - b.value)[0];
    return best
      ? html`${denseWords}; <strong>${best.r.title}</strong> does with
          <strong>${percent(best.value / here)}</strong> of that.`
      : denseWords;
  }

  private key(): TemplateResult {
    const { measure, known: measurement } = this;
    const when = measurement && new Date(measurement.date);
    return html`<div class="key">
      ${
        measure === 'time'
          ? html`<span>points: median of repeated runs, bars: the middle half of them</span
              ><span>lines: overhead + time per operation, fitted to the points</span
              ><span>rings: where it begins to beat dense</span>`
          : html`<span>lines: formulas</span
              ><span>dashed: expected of a text without structure, or the most</span>${
                measure === 'pairs'
                  ? html`<span>points: counted on this text, and in measured runs</span>`
                  : nothing
              }${
                measure === 'memory'
                  ? html`<span
                      >float32 weights of all kept pairs at once; the engine holds a block of them at a
                      time</span
                    >`
                  : nothing
              }`
      }
      ${
        measurement && measure === 'time'
          ? html`<span
              >measured ${when!.toLocaleDateString(store.settings.locale)} on ${measurement.machine}
              (${measurement.device}), random heads of ${measurement.shape.dim} dimensions</span
            >`
          : nothing
      }
      ${measurement && measure === 'time' ? measurement.notes.map(note => html`<span>${note}</span>`) : nothing}
    </div>`;
  }

  private table(rows: Row[], formulas: CostFormulas): TemplateResult {
    const { measure, tokens, heads } = this;
    const dense = rows[0]!;
    const share = (row: Row, length: number) => {
      const [own, all] = [row, dense].map(r => this.byFormula(r, formulas.lengths, length));
      return own === null || all === null || own === undefined || all === undefined ? null : own / all;
    };
    const slim = this.width < 560;
    const name = MEASURES.find(m => m.value === measure)!.label;
    return html`<table class="mechanisms">
      <thead>
        <tr>
          <th scope="col">shown</th>
          <th scope="col">${name} here</th>
          <th scope="col">of dense</th>
          ${slim ? nothing : html`<th scope="col">at ${count(FAR_LENGTH)}</th>`}
          ${measure === 'time' ? html`<th scope="col">beats dense from</th>` : nothing}
        </tr>
      </thead>
      <tbody>
        ${rows.map(row => {
          const here = this.byFormula(row, formulas.lengths, tokens);
          const isDense = row.choice.name === 'dense';
          const info = store.mechanismInfos.find(m => m.name === row.choice.name);
          const params = parameterWords(row.choice, info);
          const about = measure === 'time' ? '' : countSign(row.curve);
          return html`<tr
            class=${row.curve.refused ? 'refused' : ''}
            title=${row.curve.refused ?? params ?? nothing}
            @mouseenter=${() => (this.marked = this.shown.has(row.choice.name) ? row.key : null)}
            @mouseleave=${() => (this.marked = null)}
          >
            <td>
              <label
                ><input
                  type="checkbox"
                  .checked=${isDense || (this.shown.has(row.choice.name) && !row.curve.refused)}
                  ?disabled=${isDense || row.curve.refused !== null}
                  aria-label=${`Show ${row.title}`}
                  @change=${() => this.toggle(row.choice.name)}
                /><i .style=${`background: ${lineColour(row.choice.name, theme())}`}></i>${row.title}</label
              >
            </td>
            ${
              row.curve.refused
                ? html`<td colspan="4" class="muted">not on this model</td>`
                : html`<td class="number" title=${here === null ? nothing : exact(here * heads)}>
                      ${here === null ? '–' : html`${about}${costWords(here * heads, measure)}`}
                    </td>
                    <td class="number">${shareWords(share(row, tokens))}</td>
                    ${slim ? nothing : html`<td class="number">${shareWords(share(row, FAR_LENGTH))}</td>`}
                    ${measure === 'time' ? html`<td class="number">${this.crossingCell(row, isDense)}</td>` : nothing}`
            }
          </tr>`;
        })}
      </tbody>
    </table>`;
  }

  private crossingCell(row: Row, isDense: boolean): TemplateResult | string {
    if (isDense || !row.fit) return '–';
    if (!row.crossing) return 'never here';
    if (row.crossing.tokens === 0) return 'any length';
    const words = `${count(round2(row.crossing.tokens))}`;
    return row.crossing.how === 'measured'
      ? words
      : html`<span title="Beyond the longest measured text, by the fitted formula">≈${words}</span>`;
  }

  private toggle(name: string): void {
    const shown = this.shown;
    if (!shown.delete(name)) shown.add(name);
    store.setOption('cost', 'shown', [...shown].filter(Boolean).join(','));
  }

  private forwardPart(): TemplateResult {
    const { forward, timing } = this;
    if (store.report) return html``;
    const attention = forward?.cores.reduce((sum, c) => sum + c.attention, 0) ?? 0;
    const all = forward ? forward.cores.reduce((sum, c) => sum + c.rest, attention) + forward.output : 0;
    return html`<h2>How much of a forward is attention</h2>
      ${
        forward
          ? html`<p>
                <strong>${percent(attention / all)}</strong> of ${milliseconds(all)} at
                ${count(forward.tokens)} tokens on ${forward.device}
                <span class="muted">(dense, median of ${forward.runs} runs)</span>
              </p>
              <ai-forward-bars .times=${forward}></ai-forward-bars>`
          : html`<p class="muted">Runs this text through the dense model and times each layer.</p>`
      }
      ${
        timing
          ? html`<p role="status">
              The model runs (${percent(store.cost?.fraction ?? 0)}).
              <button class="link" data-no-export @click=${() => timing.abort()}>Cancel</button>
            </p>`
          : button(forward ? 'Time it again' : 'Time a forward', () => void this.startTiming(), {
              secondary: true,
            })
      }`;
  }

  private check({ check }: CostFormulas): TemplateResult {
    return html`<h2>Are the formulas right?</h2>
      <p class="muted">
        Dense attention weights of BERT-base (12 layers, 12 heads of 64, float32, one text), by the same
        formula:
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">tokens</th>
            <th scope="col"></th>
            <th scope="col">formula</th>
            <th scope="col">known as</th>
          </tr>
        </thead>
        <tbody>
          ${check.map(
            row =>
              html`<tr>
                <td class="number">${count(row.tokens)}</td>
                <td>${row.what}</td>
                <td class="number" title=${`${count(row.bytes)} bytes`}>${bytes(row.bytes)}</td>
                <td class="muted">${row.published}</td>
              </tr>`,
          )}
        </tbody>
      </table>`;
  }

  // ------------------------------------------------------------ measuring

  private startMeasuring(): void {
    const { id } = store;
    const formulas = this.formulas.value;
    if (!id || !formulas) return;
    store.setOption('cost', 'measure', 'time');
    void costRun.start({
      id,
      core: store.shownHead?.core ?? 0,
      mechanisms: formulas.curves.filter(c => this.shown.has(c.choice.name) && !c.refused).map(c => c.choice),
      lengths: MEASURED,
      repetitions: 5,
      secondsPerPoint: 3,
    });
  }

  private async startTiming(): Promise<void> {
    const { id } = store;
    if (!id) return;
    const abort = new AbortController();
    this.timing = abort;
    try {
      this.forward = await store.host.request('cost/forward', { id, runs: 3 }, abort.signal);
      forwards.set(id, this.forward);
    } catch (error) {
      if (!abort.signal.aborted) this.failure = (error as Error).message;
    }
    this.timing = null;
  }

  // ------------------------------------------------------------ saving

  readonly saveName = 'cost';

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string | null {
    const formulas = this.formulas.value;
    if (!formulas) return null;
    const rows = this.rows(formulas).filter(r => !r.curve.refused);
    return csv(
      [
        'mechanism',
        'parameters',
        'tokens',
        'pairs per head',
        'pairs are',
        'operations per head',
        'bytes per head',
        'median ms per head',
        'lower quartile ms',
        'upper quartile ms',
        'pairs counted',
      ],
      rows.flatMap(row => {
        const own = (tokens: number) => row.points.find(p => p.tokens === tokens);
        const lengths = [...new Set([...formulas.lengths, ...row.points.map(p => p.tokens)])];
        return lengths
          .sort((a, b) => a - b)
          .map(tokens => {
            const point = own(tokens);
            const of = (values: number[]) => at(formulas.lengths, values, tokens);
            return [
              row.choice.name,
              JSON.stringify(row.choice.params),
              tokens,
              of(row.curve.pairs),
              row.curve.count,
              of(row.curve.flops),
              of(row.curve.bytes),
              point?.milliseconds.median,
              point?.milliseconds.low,
              point?.milliseconds.high,
              point?.pairs,
            ];
          });
      }),
    );
  }
}

/** Timed forwards by analysis, so that the view has them when it is opened again. */
const forwards = new Map<string, ForwardTimes>();

function isShape({ shape }: CostMeasurement, formulas: CostFormulas | null): boolean {
  const wanted = formulas?.shape;
  return shape.dim === wanted?.dim && shape.valueDim === wanted.valueDim && shape.causal === wanted.causal;
}

/** "about" for what only the text decides. */
function countSign(curve: CostCurve): string {
  return curve.count === 'exact' ? '' : curve.count === 'most' ? '≤ ' : '≈ ';
}

function shareWords(share: number | null): string {
  if (share === null) return '–';
  return share > 1.995 ? `${number(share)}×` : percent(share);
}

/** Lengths read off a curve: two digits are honest. */
function round2(tokens: number): number {
  return Number(tokens.toPrecision(2));
}

function crossingWords(title: string, { tokens, how }: Crossing): string {
  const where = `${count(round2(tokens))} tokens`;
  return how === 'measured'
    ? `${title} beats dense from ${where}`
    : `${title} would beat dense from ${where} (extrapolated)`;
}
