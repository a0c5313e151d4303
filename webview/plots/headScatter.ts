import { scaleLinear } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { number } from '../../shared/numbers';
import { lutColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import type { HeadId } from '../host/store';
import type { HeadPoint } from '../model/corpus';
import { Component } from '../ui/component';
import { axisBottom, axisLeft } from './axes';

/** Heads as points over two measures, a third as colour. Emits `choose` with the head. */
@customElement('ai-head-scatter')
export class HeadScatter extends Component {
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
  @property({ attribute: false }) points: HeadPoint[] = [];
  @property({ attribute: false }) names = { x: '', y: '', colour: '' };
  @property({ attribute: false }) chosen: HeadId | null = null;

  override render() {
    const { width, height, points, names } = this;
    if (!width || !height || points.length === 0) return nothing;
    const room = { left: 52, right: 14, top: 14, bottom: 36 };
    const bottom = height - room.bottom;
    const x = scaleLinear()
      .domain(rangeOf(points.map(p => p.x)))
      .nice()
      .range([room.left, width - room.right]);
    const y = scaleLinear()
      .domain(rangeOf(points.map(p => p.y)))
      .nice()
      .range([bottom, room.top]);
    const [low, high] = rangeOf(points.map(p => p.colour));
    const words = `${points.length} heads by ${names.x} and ${names.y}; colour: ${names.colour}, ${number(low)} to ${number(high)}`;
    return html`<svg width=${width} height=${height} role="group" aria-label=${words}>
      ${axisBottom(x, bottom, { ticks: 6, format: number, label: names.x, grid: bottom - room.top })}
      ${axisLeft(y, room.left, { ticks: 5, format: number, label: names.y, grid: width - room.left - room.right })}
      ${points.map(point => this.point(point, x(point.x), y(point.y), (point.colour - low) / (high - low)))}
    </svg>`;
  }

  private point({ head: { core, head }, ...value }: HeadPoint, cx: number, cy: number, share: number) {
    const { names } = this;
    const chosen = this.chosen?.core === core && this.chosen.head === head;
    const words = `Core ${core}, head ${head}: ${names.x} ${number(value.x)}, ${names.y} ${number(value.y)}, ${names.colour} ${number(value.colour)}`;
    const choose = () => this.dispatchEvent(new CustomEvent('choose', { detail: { core, head } }));
    return svg`<g class="point ${chosen ? 'chosen' : ''}" role="button" tabindex="0" aria-label=${words} aria-pressed=${chosen}
        @click=${choose}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key !== 'Enter' && event.key !== ' ') return;
          event.preventDefault();
          choose();
        }}>
      <title>${words}</title>
      <circle cx=${cx} cy=${cy} r="5.5" fill=${toCss(lutColour(theme().sequential, 0.15 + 0.85 * share))}></circle></g>`;
  }
}

/** Least and most, never the same. */
function rangeOf(values: number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}
