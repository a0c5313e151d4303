import { scaleLinear } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { MechanismChoice, Plan } from '../../engine/protocol';
import { toCss } from '../draw/colour';
import { exact, percent, signed } from '../draw/format';
import { mechanismLook, mechanismTitle, parameterWords } from '../draw/mechanismLook';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';

const ROW = 22;

/** What the plan costs against each mechanism in every head and against chance, at the same budget. */
@customElement('ai-plan-bars')
export class PlanBars extends Component {
  static override styles = [
    ...Component.styles,
    css`
      svg {
        display: block;
        overflow: visible;
      }
      .plan text {
        font-weight: 600;
      }
      .bar.random {
        fill: none;
        stroke: var(--muted);
        stroke-dasharray: 3 2;
      }
      .whisker {
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .zero {
        stroke: var(--muted);
      }
      .link {
        cursor: pointer;
      }
      .best {
        stroke: var(--vscode-foreground);
        stroke-opacity: 0.35;
        stroke-dasharray: 2 3;
      }
    `,
  ];
  @property({ attribute: false }) plan: Plan | null = null;

  override render() {
    const { plan, width } = this;
    if (!plan || !width) return nothing;
    const { random } = plan;
    const uniform = [...plan.uniform].sort((a, b) => a.effect.delta - b.effect.delta);
    const rows = 1 + uniform.length + (random.runs > 0 ? 1 : 0);
    const height = rows * ROW + 8;
    const label = Math.min(170, width * 0.36);
    const all = [
      plan.effect.delta,
      ...uniform.map(u => u.effect.delta),
      ...(random.runs > 0 ? [random.most] : []),
    ];
    const x = scaleLinear()
      .domain([Math.min(0, ...all), Math.max(1e-9, ...all)])
      .range([label, width - 62]);
    const zero = x(0);
    const unit = plan.effect.measure === 'loss' ? 'nats per token' : 'change of the output';
    const bar = (delta: number, at: number) => ({
      x: Math.min(zero, x(delta)),
      y: at * ROW + 4,
      width: Math.max(1.5, Math.abs(x(delta) - zero)),
      height: ROW - 8,
    });
    return html`<svg
      width=${width}
      height=${height}
      role="list"
      aria-label=${`Change when the text runs on, ${unit}`}
    >
      ${this.row('the plan', plan.effect.delta, plan.pairs / plan.densePairs, bar(plan.effect.delta, 0), 0, label, zero, unit, null)}
      ${uniform.map((u, i) => this.row(mechanismTitle(u.choice.name, store.mechanismInfos), u.effect.delta, u.share, bar(u.effect.delta, i + 1), i + 1, label, zero, unit, u.choice))}
      ${random.runs > 0 ? this.randomRow(plan, rows - 1, x, zero, label, unit) : nothing}
      <line class="zero" x1=${zero} x2=${zero} y1="0" y2=${height - 4}></line>
      <line class="best" x1=${x(plan.effect.delta)} x2=${x(plan.effect.delta)} y1="0" y2=${height - 4}></line>
    </svg>`;
  }

  private row(
    name: string,
    delta: number,
    spent: number,
    bar: { x: number; y: number; width: number; height: number },
    at: number,
    label: number,
    zero: number,
    unit: string,
    choice: MechanismChoice | null,
  ) {
    const look = theme();
    const fill = choice
      ? toCss(mechanismLook(choice.name, store.mechanismInfos, look).fill)
      : toCss(look.foreground);
    const info = choice && store.mechanismInfos.find(m => m.name === choice.name);
    const params = choice ? parameterWords(choice, info ?? undefined) : '';
    const words = `${name}${params ? ` (${params}) in every head` : ''}: ${signed(delta)} ${unit} with ${percent(spent)} of the pairs (propagated)`;
    const middle = at * ROW + ROW / 2;
    return svg`<g role="listitem" class=${choice ? 'link' : 'plan'} @click=${() => choice && store.select({ mechanism: choice })}>
      <title>${`${words}\nexactly ${exact(delta)}`}</title>
      <text x=${label - 8} y=${middle} text-anchor="end" dominant-baseline="middle">${shorten(name, label)}</text>
      <rect class="bar" x=${bar.x} y=${bar.y} width=${bar.width} height=${bar.height} fill=${fill}></rect>
      <text x=${Math.max(zero, bar.x + bar.width) + 6} y=${middle} dominant-baseline="middle">${signed(delta)}</text></g>`;
  }

  private randomRow(
    { random }: Plan,
    at: number,
    x: (value: number) => number,
    zero: number,
    label: number,
    unit: string,
  ) {
    const middle = at * ROW + ROW / 2;
    const words = `${random.runs} assignments drawn at random within the budget: mean ${signed(random.mean)}, from ${signed(random.least)} to ${signed(random.most)} ${unit}`;
    return svg`<g role="listitem"><title>${words}</title>
      <text x=${label - 8} y=${middle} text-anchor="end" dominant-baseline="middle">${shorten(`at random (${random.runs})`, label)}</text>
      <rect class="bar random" x=${Math.min(zero, x(random.mean))} y=${at * ROW + 4} width=${Math.max(1.5, Math.abs(x(random.mean) - zero))} height=${ROW - 8}></rect>
      <line class="whisker" x1=${x(random.least)} x2=${x(random.most)} y1=${middle} y2=${middle}></line>
      ${[random.least, random.most].map(v => svg`<line class="whisker" x1=${x(v)} x2=${x(v)} y1=${middle - 4} y2=${middle + 4}></line>`)}
      <text x=${x(random.most) + 6} y=${middle} dominant-baseline="middle">${signed(random.mean)}</text></g>`;
  }
}

function shorten(name: string, width: number): string {
  const room = Math.floor((width - 8) / 6.2);
  return name.length > room ? `${name.slice(0, room - 1)}…` : name;
}
