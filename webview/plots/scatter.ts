import { scaleLinear } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { number } from '../../shared/numbers';
import { Component } from '../ui/component';
import { axisBottom, axisLeft } from './axes';

export interface ScatterPoint {
  key: string;
  x: number;
  y: number;
  /** A colour of CSS. */
  fill: string;
  /** What it is, with its numbers. */
  words: string;
}

/** Points that can be chosen, by pointer and by keyboard. Emits `choose` with the point's key. */
@customElement('ai-scatter')
export class Scatter extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        height: 320px;
        display: block;
      }
      .point {
        cursor: pointer;
      }
      .point circle {
        stroke: var(--muted);
      }
      .point.chosen circle {
        stroke: var(--focus);
        stroke-width: 3;
      }
      .point:focus-visible circle,
      .point:hover circle {
        stroke: var(--vscode-foreground);
        stroke-width: 2;
      }
    `,
  ];
  @property({ attribute: false }) points: ScatterPoint[] = [];
  /** Of the axes, and of the whole. */
  @property({ attribute: false }) names = { x: '', y: '', all: '' };
  @property({ attribute: false }) chosen: string | null = null;

  override render() {
    const { width, height, points, names } = this;
    if (!width || !height || points.length === 0) return nothing;
    const room = { left: 60, right: 14, top: 26, bottom: 36 };
    const bottom = height - room.bottom;
    const x = scaleLinear()
      .domain(rangeOf(points.map(p => p.x)))
      .nice()
      .range([room.left, width - room.right]);
    const y = scaleLinear()
      .domain(rangeOf(points.map(p => p.y)))
      .nice()
      .range([bottom, room.top]);
    return html`<svg width=${width} height=${height} role="group" aria-label=${names.all}>
      ${axisBottom(x, bottom, { ticks: 6, format: number, label: names.x, grid: bottom - room.top })}
      ${axisLeft(y, room.left, { ticks: 5, format: number, label: names.y, grid: width - room.left - room.right })}
      ${points.map(point => this.point(point, x(point.x), y(point.y)))}
    </svg>`;
  }

  private point({ key, fill, words }: ScatterPoint, cx: number, cy: number) {
    const chosen = this.chosen === key;
    const choose = () => this.dispatchEvent(new CustomEvent('choose', { detail: key }));
    return svg`<g class="point ${chosen ? 'chosen' : ''}" role="button" tabindex="0" aria-label=${words} aria-pressed=${chosen}
        @click=${choose}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key !== 'Enter' && event.key !== ' ') return;
          event.preventDefault();
          choose();
        }}>
      <title>${words}</title>
      <circle cx=${cx} cy=${cy} r="5.5" fill=${fill}></circle></g>`;
  }
}

/** Least and most, never the same. */
export function rangeOf(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}
