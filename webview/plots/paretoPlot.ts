import { scaleLinear, scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Setting } from '../../shared/protocol/engine';
import { UNITS } from '../../shared/budgetUnits';
import type { BudgetUnit } from '../../shared/protocol/engine';
import { toCss } from '../draw/colour';
import { percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { mechanismLook, mechanismTitle, parameterWords } from '../model/mechanismLook';
import { theme } from '../draw/theme';
import { toSelect } from '../model/standing';
import { front, placeLabels, type Box, type Measure, type Point } from '../model/tried';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisBottom, axisLeft, path } from './axes';
import { t } from '../host/words';

/** What a setting spends against what it keeps: a point for each, the front drawn, each mechanism named at one of its points. */
@customElement('ai-pareto')
export class ParetoPlot extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        height: 100%;
      }
      svg {
        display: block;
        overflow: visible;
      }
      .front {
        fill: none;
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .point {
        cursor: pointer;
      }
      .point circle {
        stroke: var(--vscode-editor-background);
      }
      .point.off circle {
        fill-opacity: 0.55;
      }
      .point:focus-visible circle,
      .point:hover circle {
        stroke: var(--vscode-foreground);
        stroke-width: 2;
      }
      .point.chosen circle {
        stroke: var(--focus);
        stroke-width: 3;
      }
      .name {
        pointer-events: none;
        paint-order: stroke;
        stroke: var(--vscode-editor-background);
        stroke-width: 3px;
        stroke-linejoin: round;
      }
      .budget {
        stroke: var(--muted);
        stroke-dasharray: 3 3;
      }
      .plan path {
        fill: var(--vscode-foreground);
        stroke: var(--vscode-editor-background);
      }
      .plan text {
        font-weight: 600;
      }
    `,
  ];
  /** What shares are of. */
  @property() unit: BudgetUnit = 'pairs';
  @property({ attribute: false }) points: Point[] = [];
  /** What the plan spends and keeps here. */
  @property({ attribute: false }) plan: Omit<Point, 'key' | 'choice'> | null = null;
  @property() measure: Measure = 'recall';
  @property({ type: Number }) budget = 0;
  @state() private hovered: string | null = null;

  override render() {
    const { width, height, measure } = this;
    const points = this.points.filter(p => p[measure] !== null && p.share > 0);
    if (!width || !height || !points.length) return nothing;
    const room = { left: 46, right: 14, top: 26, bottom: 36 };
    const bottom = height - room.bottom;
    const least = Math.min(...points.map(p => p.share), this.plan?.share ?? 1, 0.1);
    const x = scaleLog()
      .domain([least * 0.85, 1])
      .range([room.left, width - room.right]);
    const values = [...points, ...(this.plan ? [this.plan] : [])].map(p => p[measure] ?? 0);
    // An output that is off by more than itself is of no use, by however much.
    const top = measure === 'recall' ? 1 : Math.min(1, Math.max(0.1, ...values));
    const low = measure === 'recall' ? Math.min(0.9, Math.floor(Math.min(...values) * 10) / 10) : 0;
    const y = scaleLinear().domain([low, top]).range([bottom, room.top]).clamp(true);
    const best = front(points, measure);
    const onFront = new Set(best.map(p => p.key));
    const at = (p: { share: number } & Pick<Point, Measure>): [number, number] => [
      x(p.share),
      y(p[measure] ?? 0),
    ];
    const frame = { x: room.left, y: 4, width: width - room.left, height: bottom - 4 };
    const budget = this.budget > 0 && this.budget < 1 ? x(this.budget) : null;
    const format = (t: number) => percent(t);
    return html`<svg width=${width} height=${height} role="group" aria-label=${this.words(best)}>
      ${axisBottom(x, bottom, { ticks: 5, format, label: t('share of the dense {0} (log)', t(UNITS[this.unit])) })}
      ${axisLeft(y, room.left, { ticks: 5, format, label: measure === 'recall' ? t('mass kept (local)') : t('output error (local)'), grid: width - room.left - room.right })}
      ${
        budget === null
          ? nothing
          : svg`<line class="budget" x1=${budget} x2=${budget} y1=${room.top} y2=${bottom}></line>
            <text class="muted" x=${budget + 4} y=${bottom - 5}>${t('budget')}</text>`
      }
      ${svg`<path class="front" d=${path(best.map(at))}></path>`}
      ${this.ordered(points, onFront).map(p => this.point(p, at(p), onFront.has(p.key)))} ${this.planMark(at)}
      ${this.names(points, onFront, at, frame, budget)}
    </svg>`;
  }

  /** Those on the front last, so that they lie on top; tabbing goes along the budget. */
  private ordered(points: Point[], onFront: Set<string>): Point[] {
    return [...points].sort(
      (a, b) => Number(onFront.has(a.key)) - Number(onFront.has(b.key)) || a.share - b.share,
    );
  }

  private point(p: Point, [cx, cy]: [number, number], best: boolean) {
    const { fill } = mechanismLook(p.choice.name, store.mechanismInfos, theme());
    const { mechanism } = store.selection;
    const chosen = mechanism !== null && mechanism.key === p.key;
    const words = this.pointWords(p);
    const choose = () => this.choose(p.choice);
    return svg`<g class="point ${best ? '' : 'off'} ${chosen ? 'chosen' : ''}" role="button" tabindex=${best ? 0 : -1} aria-label=${words}
        @click=${choose}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key !== 'Enter' && event.key !== ' ') return;
          event.preventDefault();
          choose();
        }}
        @mouseenter=${() => (this.hovered = p.key)} @mouseleave=${() => (this.hovered = null)}>
      <title>${words}</title>
      <circle cx=${cx} cy=${cy} r="9" fill="transparent" stroke="none" style="stroke: none"></circle>
      <circle cx=${cx} cy=${cy} r=${best || chosen || p.key === this.hovered ? 5 : 3.5} fill=${toCss(fill)}></circle></g>`;
  }

  private planMark(at: (p: { share: number } & Pick<Point, Measure>) => [number, number]) {
    if (!this.plan || this.plan[this.measure] === null) return nothing;
    const [cx, cy] = at(this.plan);
    const words = t(
      'The plan: {0} of the {1}, {2}',
      percent(this.plan.share),
      t(UNITS[this.unit]),
      this.valueWords(this.plan),
    );
    return svg`<g class="plan" role="img" aria-label=${words}><title>${words}</title>
      <path d=${`M${cx},${cy - 8}L${cx + 7},${cy}L${cx},${cy + 8}L${cx - 7},${cy}Z`}></path></g>`;
  }

  /** One name for each mechanism, at its best point; what finds no room is told by hovering. */
  private names(
    points: Point[],
    onFront: Set<string>,
    at: (p: { share: number } & Pick<Point, Measure>) => [number, number],
    frame: Box,
    budget: number | null,
  ) {
    const named = new Map<string, Point>();
    const good = (p: Point) => (this.measure === 'recall' ? (p.recall ?? 0) : -p.outputError);
    for (const p of points) {
      const before = named.get(p.choice.name);
      const better =
        !before ||
        Number(onFront.has(p.key)) > Number(onFront.has(before.key)) ||
        (onFront.has(p.key) === onFront.has(before.key) && good(p) > good(before));
      if (better && p.choice.name !== 'dense') named.set(p.choice.name, p);
    }
    const entries = [...named.values()].sort(
      (a, b) => Number(onFront.has(b.key)) - Number(onFront.has(a.key)),
    );
    const labels = entries.map(p => {
      const [px, py] = at(p);
      return { text: mechanismTitle(p.choice.name, store.mechanismInfos), x: px, y: py, name: p.choice.name };
    });
    const plan = this.plan && this.plan[this.measure] !== null ? at(this.plan) : null;
    const taken = points.map(p => {
      const [px, py] = at(p);
      return { x: px - 4, y: py - 4, width: 8, height: 8 };
    });
    // The word at the line of the budget.
    if (budget !== null) taken.push({ x: budget, y: frame.y + frame.height - 18, width: 48, height: 18 });
    // The plan is named whatever lies under its name: below it, where a front that rises leaves room.
    const planned = plan ? [{ text: t('the plan'), x: plan[0], y: plan[1] + 14, name: '' }] : [];
    const own = placeLabels(planned, [], frame);
    for (const place of own) if (place) taken.push({ ...place, width: 52, height: 13 });
    const all = [...planned, ...labels];
    const places = [...own, ...placeLabels(labels, taken, frame)];
    return all.map((label, i) => {
      const place = places[i];
      return place
        ? svg`<text class="name" x=${place.x} y=${place.y + 10} font-weight=${label.name ? 'normal' : '600'} aria-hidden="true">${label.text}</text>`
        : nothing;
    });
  }

  private choose(choice: Setting): void {
    store.select({ mechanism: toSelect(choice) });
  }

  private pointWords(p: Point): string {
    const info = store.mechanismInfos.find(m => m.name === p.choice.name);
    const params = parameterWords(p.choice, info);
    const title = mechanismTitle(p.choice.name, store.mechanismInfos);
    return t(
      '{0}{1}: {2} of the {3}, {4}',
      title,
      params ? ` (${params})` : '',
      exact(p.share * 100, '%'),
      t(UNITS[this.unit]),
      this.valueWords(p),
    );
  }

  private valueWords(p: Pick<Point, 'recall' | 'outputError'>): string {
    const error = t('output error {0}', percent(p.outputError));
    return p.recall === null ? error : t('keeps {0} of the mass, {1}', percent(p.recall), error);
  }

  private words(best: Point[]): string {
    const steps = best.map(p =>
      t('{0} at {1}', mechanismTitle(p.choice.name, store.mechanismInfos), percent(p.share)),
    );
    return t(
      'What each setting spends and keeps. Best for their price: {0}.',
      [...new Set(steps)].join(', '),
    );
  }
}
