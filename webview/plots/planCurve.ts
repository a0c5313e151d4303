import { scaleLinear, scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Plan } from '../../shared/protocol/engine';
import { toCss } from '../draw/colour';
import { number, percent, signed } from '../../shared/numbers';
import { exact, interval } from '../model/amounts';
import { certaintyWords } from '../model/certainty';
import { mechanismLook, mechanismTitle } from '../model/mechanismLook';
import { paidIn, spentBy } from '../model/planSpent';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisBottom, axisLeft, path } from './axes';
import { barLimit } from './barLimit';
import { rich, t } from '../host/words';

/** What plans cost at other budgets: measured points filled, predicted ones open; single mechanisms beside them. */
@customElement('ai-plan-curve')
export class PlanCurve extends Component {
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
      .line {
        fill: none;
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .measured {
        fill: var(--vscode-foreground);
      }
      .predicted {
        fill: var(--vscode-editor-background);
        stroke: var(--vscode-foreground);
      }
      .predicted-line {
        fill: none;
        stroke: var(--muted);
        stroke-dasharray: 3 3;
      }
      .interval {
        stroke: var(--vscode-foreground);
        stroke-opacity: 0.6;
      }
      .floor {
        fill: none;
        stroke: var(--muted);
        stroke-width: 1.5;
        cursor: pointer;
      }
      .uniform {
        cursor: pointer;
        stroke: var(--vscode-editor-background);
      }
      .hit {
        fill: transparent;
        cursor: pointer;
      }
      .here {
        fill: none;
        stroke: var(--focus);
        stroke-width: 2;
      }
    `,
  ];
  @property({ attribute: false }) plan: Plan | null = null;

  override render() {
    const { plan, width, height } = this;
    const curve = plan?.curve.filter(p => p.share > 0) ?? [];
    if (!plan || !width || !height || !curve.length) return nothing;
    const room = { left: 50, right: 16, top: 24, bottom: 36 };
    const bottom = height - room.bottom;
    const spent = spentBy(plan);
    const shares = [
      plan.floor?.share ?? spent,
      ...curve.map(p => p.share),
      ...plan.uniform.map(u => u.share),
      spent,
    ].filter(s => s > 0);
    const x = scaleLog()
      .domain([Math.min(...shares) * 0.85, Math.max(...shares, 0.5)])
      .range([room.left, width - room.right]);
    const deltas = [
      ...curve.map(p => p.interval?.low ?? p.delta),
      plan.effect.delta,
      plan.floor?.effect.delta ?? 0,
      ...plan.uniform.map(u => u.effect.delta),
    ];
    // Where little is spent the change soars: what happens near the budget is what is asked.
    const near = curve.filter(p => p.share >= plan.budget / 4).map(p => p.delta);
    const limit = barLimit([plan.effect.delta, ...near, ...plan.uniform.map(u => u.effect.delta)]);
    const y = scaleLinear()
      .domain([Math.min(0, ...deltas), Math.max(limit, ...near)])
      .nice(4)
      .range([bottom, room.top]);
    const measured = curve.filter(p => p.measured);
    const predicted = curve.filter(p => !p.measured);
    const unit =
      plan.effect.measure === 'loss' ? t('loss change, nats per token') : t('change of the output');
    const at = (p: { share: number; delta: number }): [number, number] => [x(p.share), y(p.delta)];
    const high = y.domain()[1]!;
    return html`<svg width=${width} height=${height} role="img" aria-label=${this.words(plan)}>
      ${axisBottom(x, bottom, { ticks: 5, format: t => percent(t), label: t('share of the dense {0} (log)', paidIn(plan)) })}
      ${axisLeft(y, room.left, { ticks: 4, format: t => number(t), label: unit, grid: width - room.left - room.right })}
      ${svg`<clipPath id="curve-frame"><rect x=${room.left} y=${room.top - 6} width=${width - room.left} height=${bottom - room.top + 12}></rect></clipPath>
        <path class="predicted-line" clip-path="url(#curve-frame)" d=${path(predicted.map(at))}></path><path class="line" clip-path="url(#curve-frame)" d=${path(measured.map(at))}></path>`}
      ${measured.map(p => {
        if (!p.interval || p.delta > high) return nothing;
        const [top, foot] = [y(Math.min(high, p.interval.high)), y(Math.max(y.domain()[0]!, p.interval.low))];
        return svg`<line class="interval" x1=${x(p.share)} x2=${x(p.share)} y1=${top} y2=${foot}></line>`;
      })}
      ${plan.floor && plan.floor.effect.delta <= high ? this.floor(plan.floor, at({ share: plan.floor.share, delta: plan.floor.effect.delta })) : nothing}
      ${plan.uniform.map(u => {
        if (u.effect.delta > high) return nothing;
        const [cx, cy] = at({ share: u.share, delta: u.effect.delta });
        const name = mechanismTitle(u.choice.name, store.mechanismInfos);
        const fill = toCss(mechanismLook(u.choice.name, store.mechanismInfos, theme()).fill);
        return svg`<circle class="uniform" cx=${cx} cy=${cy} r="4" fill=${fill} @click=${() => store.select({ mechanism: u.choice })}>
          <title>${rich('{0} in every head: {1} with {2} of the {3}; {4}', name, signed(u.effect.delta), percent(u.share), paidIn(plan), certaintyWords(u.effect.perToken))}</title></circle>`;
      })}
      ${curve.map(p => {
        if (p.delta > high) return nothing;
        const [cx, cy] = at(p);
        const words = t(
          'a plan with {0} of the {1}: {2} ({3}{4})',
          exact(p.share * 100, '%'),
          paidIn(plan),
          signed(p.delta),
          p.measured ? t('measured') : t('predicted from local errors'),
          p.interval ? `; 95\u202f%: ${interval(p.interval)}` : '',
        );
        return svg`<circle class=${p.measured ? 'measured' : 'predicted'} cx=${cx} cy=${cy} r="3.5"><title>${words}</title></circle>`;
      })}
      ${svg`<circle class="here" cx=${x(spent)} cy=${y(plan.effect.delta)} r="7"><title>${t('this plan')}</title></circle>`}
    </svg>`;
  }

  private floor({ choice, effect, share }: NonNullable<Plan['floor']>, [cx, cy]: [number, number]) {
    const name = mechanismTitle(choice.name, store.mechanismInfos);
    return svg`<rect class="floor" x=${cx - 4} y=${cy - 4} width="8" height="8" @click=${() => store.select({ mechanism: choice })}>
      <title>${rich('the floor, {0} in every head: {1} with {2}; {3}', name, signed(effect.delta), percent(share), certaintyWords(effect.perToken))}</title></rect>`;
  }

  private words(plan: Plan): string {
    const points = plan.curve.map(
      p => `${percent(p.share)}: ${signed(p.delta)} ${p.measured ? 'measured' : 'predicted'}`,
    );
    return t('Change against the share of the {0}. {1}', paidIn(plan), points.join('; '));
  }
}
