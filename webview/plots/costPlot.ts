import { scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { mix, contrast, toCss, type Rgb } from '../draw/colour';
import { costWords, type CostMeasure } from '../model/cost';
import type { CostLine } from '../model/costPicture';
import { count } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { mechanismLook } from '../model/mechanismLook';
import { theme, type Theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisBottom, axisLeft, path } from './axes';
import { rich, t } from '../host/words';

/** A line's colour: its mechanism's, moved towards the text until it is seen on the background. */
export function lineColour(name: string, colours: Theme): string {
  if (name === 'dense') return toCss(colours.foreground);
  let fill: Rgb = mechanismLook(name, store.mechanismInfos, colours).fill;
  for (let t = 0; t < 6 && contrast(fill, colours.background) < 3; t++)
    fill = mix(fill, colours.foreground, 0.2);
  return toCss(fill);
}

const AXES: Record<CostMeasure, string> = {
  time: 'time',
  memory: 'memory',
  pairs: 'query-key pairs',
  flops: 'operations',
  blocks: t('blocks of 128 x 128'),
  kv: t('key/value cache'),
};

const UNITS: Record<CostMeasure, string> = {
  time: 'ms',
  memory: 'bytes',
  pairs: 'pairs',
  flops: 'operations',
  blocks: t('blocks'),
  kv: 'bytes',
};

/** Cost against text length, both logarithmic: formulas as lines, measurements as points, this text's length marked. */
@customElement('ai-cost-plot')
export class CostPlot extends Component {
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
        stroke-width: 1.75;
      }
      .line.dense {
        stroke-width: 2.5;
      }
      .far {
        opacity: 0.22;
      }
      .here {
        stroke: var(--focus);
        stroke-width: 1.5;
      }
      .here-name {
        font-weight: 600;
      }
      .here-name,
      .name {
        paint-order: stroke;
        stroke: var(--vscode-editor-background);
        stroke-width: 3px;
        stroke-linejoin: round;
      }
      .ring {
        fill: var(--vscode-editor-background);
        stroke-width: 2;
      }
    `,
  ];
  @property({ attribute: false }) lines: CostLine[] = [];
  @property() measure: CostMeasure = 'time';
  /** Tokens of the analysed text. */
  @property({ type: Number }) here = 0;
  /** The mechanism under the pointer in the table. */
  @property() marked: string | null = null;

  override render() {
    const { width, height, lines, measure, here } = this;
    const values = lines
      .flatMap(l => [...l.line.map(p => p.value), ...l.points.flatMap(p => [p.low, p.high])])
      .filter(v => v > 0);
    const lengths = lines.flatMap(l => [...l.line.map(p => p.tokens), ...l.points.map(p => p.tokens)]);
    if (!width || !height || values.length === 0) return nothing;
    const labels = Math.min(150, Math.max(...lines.map(l => l.title.length)) * 6.4 + 14);
    const room = { left: 64, right: labels, top: 26, bottom: 36 };
    const bottom = height - room.bottom;
    const x = scaleLog()
      .domain([Math.min(...lengths), Math.max(...lengths)])
      .range([room.left, width - room.right]);
    const y = scaleLog()
      .domain([Math.min(...values) * 0.8, Math.max(...values) * 1.25])
      .range([bottom, room.top]);
    const colours = theme();
    const unit = AXES[measure];
    return html`<svg width=${width} height=${height} role="img" aria-label=${this.words()}>
      ${axisBottom(x, bottom, { ticks: 6, format: t => count(t), label: t('text length, tokens (log)') })}
      ${axisLeft(y, room.left, { ticks: 7, format: t => costWords(t, measure), label: t('{0} (log)', unit), grid: width - room.left - room.right })}
      ${
        here >= x.domain()[0]! && here <= x.domain()[1]!
          ? svg`<line class="here" x1=${x(here)} x2=${x(here)} y1=${room.top} y2=${bottom}></line>
            <text class="here-name" x=${x(here) + 6} y=${bottom - 8}>${rich('this text, {0}', count(here))}</text>`
          : nothing
      }
      ${lines.map(l => {
        const colour = lineColour(l.name, colours);
        const far = this.marked !== null && this.marked !== l.key && l.name !== 'dense' ? 'far' : '';
        const points = l.line.map((p): [number, number] => [
          x(p.tokens),
          y(Math.max(p.value, y.domain()[0]!)),
        ]);
        return svg`<g class=${far}>
          <path class=${l.name === 'dense' ? 'line dense' : 'line'} stroke=${colour} stroke-dasharray=${l.dashed ? '5 4' : nothing} d=${path(points)}></path>
          ${l.points.map(
            p => svg`<g><title>${t('{0}, {1} tokens: {2} ({3} to {4})', l.title, count(p.tokens), this.exactWords(p.value), this.exactWords(p.low), this.exactWords(p.high))}</title>
              <line x1=${x(p.tokens)} x2=${x(p.tokens)} y1=${y(p.low)} y2=${y(p.high)} stroke=${colour} stroke-width="1.5" stroke-opacity="0.6"></line>
              <circle cx=${x(p.tokens)} cy=${y(p.value)} r="3.2" fill=${colour}></circle></g>`,
          )}</g>`;
      })}
      ${lines.map(l => {
        if (!l.crossing || l.crossing.tokens < x.domain()[0]! || l.crossing.tokens > x.domain()[1]!)
          return nothing;
        return svg`<g><title>${l.crossing.words}</title><circle class="ring" cx=${x(l.crossing.tokens)} cy=${y(l.crossing.value)} r="5" stroke=${lineColour(l.name, colours)}></circle></g>`;
      })}
      ${this.names(x, y, colours)}
    </svg>`;
  }

  /** Every line's name at its end, pushed apart where lines end close together. */
  private names(
    x: (tokens: number) => number,
    y: ((value: number) => number) & { range(): number[] },
    colours: Theme,
  ) {
    const ends = this.lines
      .map(l => {
        const last = l.line.at(-1) ?? l.points.at(-1);
        return last ? [{ line: l, x: x(last.tokens), y: Math.min(y(last.value), y.range()[0]!), at: 0 }] : [];
      })
      .flat()
      .sort((a, b) => a.y - b.y);
    const step = 14;
    let last = -Infinity;
    for (const end of ends) last = end.at = Math.max(end.y, last + step);
    // Too far down: push the last ones up again.
    let next = y.range()[0]! + step;
    for (const end of [...ends].reverse()) next = end.at = Math.min(end.at, next - step);
    return ends.map(end => {
      const colour = lineColour(end.line.name, colours);
      return svg`<g aria-hidden="true"><path d=${`M${end.x},${end.y}L${end.x + 8},${end.at}`} stroke=${colour} fill="none"></path>
        <text class="name" x=${end.x + 11} y=${end.at} dominant-baseline="middle" font-weight=${end.line.name === 'dense' ? '600' : 'normal'}>${end.line.title}</text></g>`;
    });
  }

  private exactWords(value: number): string {
    return exact(value, UNITS[this.measure]);
  }

  private words(): string {
    const ends = this.lines.map(l => {
      const last = l.line.at(-1) ?? l.points.at(-1);
      return last
        ? t('{0} {1} at {2} tokens', l.title, costWords(last.value, this.measure), count(last.tokens))
        : '';
    });
    return t('Cost against text length: {0}.', ends.filter(Boolean).join('; '));
  }
}
