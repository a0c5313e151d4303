import { scaleLinear, scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { placeLabels } from '../model/tried';
import { Component } from '../ui/component';
import { axisBottom, axisLeft, path } from './axes';

export interface PlotAxis {
  label: string;
  log?: boolean;
  format: (value: number) => string;
  ticks?: number;
  /** Ends; absent = what the data need. */
  from?: number;
  to?: number;
}

export interface PlotLine {
  name: string;
  points: { x: number; y: number }[];
  look: 'main' | 'other' | 'plain';
  dots?: boolean;
}

export interface PlotMark {
  x: number;
  y: number;
  label: string;
  /** The one that is looked at. */
  chosen?: boolean;
}

/** A few lines over one axis, with marks and their names; for lenses. */
@customElement('ai-lines')
export class LinePlot extends Component {
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
        stroke-width: 2;
      }
      .main {
        stroke: var(--accent);
      }
      .other {
        stroke: var(--accent2);
      }
      .plain {
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .dot {
        stroke: none;
      }
      .dot.main {
        fill: var(--accent);
      }
      .dot.other {
        fill: var(--accent2);
      }
      .dot.plain {
        fill: var(--vscode-foreground);
      }
      .mark {
        fill: var(--vscode-editor-background);
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .mark.chosen {
        stroke: var(--focus);
        stroke-width: 3;
      }
      .here {
        stroke: var(--focus);
        stroke-width: 1.5;
      }
      .name {
        paint-order: stroke;
        stroke: var(--vscode-editor-background);
        stroke-width: 3px;
        stroke-linejoin: round;
      }
      .chosen-name {
        font-weight: 600;
      }
    `,
  ];
  @property({ attribute: false }) x: PlotAxis = { label: '', format: String };
  @property({ attribute: false }) y: PlotAxis = { label: '', format: String };
  @property({ attribute: false }) lines: PlotLine[] = [];
  @property({ attribute: false }) marks: PlotMark[] = [];
  /** A value of the x axis that is looked at. */
  @property({ attribute: false }) here: { x: number; label: string } | null = null;
  /** What the picture says, for those who do not see it. */
  @property() words = '';

  override render() {
    const { width, height, lines, marks, here } = this;
    const all = [...lines.flatMap(l => l.points), ...marks];
    if (!width || !height || all.length === 0) return nothing;
    const longest = Math.max(0, ...lines.filter(l => l.points.length > 0).map(l => l.name.length));
    const room = {
      left: 62,
      right: longest > 0 ? Math.min(160, longest * 6.3 + 18) : 16,
      top: 26,
      bottom: 38,
    };
    const bottom = height - room.bottom;
    const x = scaleOf(
      this.x,
      [...all.map(p => p.x), ...(here ? [here.x] : [])],
      [room.left, width - room.right],
    );
    const y = scaleOf(
      this.y,
      all.map(p => p.y),
      [bottom, room.top],
    );
    const at = (p: { x: number; y: number }): [number, number] => [x(p.x), y(p.y)];
    const labels = marks.map(m => ({ text: m.label, x: x(m.x), y: y(m.y), chosen: m.chosen ?? false }));
    const taken = marks.map(m => ({ x: x(m.x) - 5, y: y(m.y) - 5, width: 10, height: 10 }));
    const along = lines.flatMap(l =>
      l.points.map(p => ({ x: x(p.x) - 2, y: y(p.y) - 2, width: 4, height: 4 })),
    );
    const frame = { x: room.left, y: 10, width: width - room.left - room.right + 8, height: bottom - 12 };
    const places = placeLabels(labels, [...taken, ...along], frame, text => text.length * 7.2);
    return html`<svg width=${width} height=${height} role="img" aria-label=${this.words}>
      ${axisBottom(x, bottom, { ticks: this.x.ticks ?? 6, format: this.x.format, label: this.x.label })}
      ${axisLeft(y, room.left, { ticks: this.y.ticks ?? 5, format: this.y.format, label: this.y.label, grid: width - room.left - room.right })}
      ${
        here
          ? svg`<line class="here" x1=${x(here.x)} x2=${x(here.x)} y1=${room.top} y2=${bottom}></line>
          <text class="name chosen-name" x=${x(here.x) + (x(here.x) > width * 0.7 ? -6 : 6)} y=${bottom - 8} text-anchor=${x(here.x) > width * 0.7 ? 'end' : 'start'}>${here.label}</text>`
          : nothing
      }
      ${lines.map(
        l => svg`<path class="line ${l.look}" d=${path(l.points.map(at))}><title>${l.name}</title></path>
          ${l.dots ? l.points.map(p => svg`<circle class="dot ${l.look}" cx=${x(p.x)} cy=${y(p.y)} r="3.5"><title>${`${this.x.format(p.x)}: ${this.y.format(p.y)}`}</title></circle>`) : nothing}`,
      )}
      ${marks.map(
        m =>
          svg`<circle class="mark ${m.chosen ? 'chosen' : ''}" cx=${x(m.x)} cy=${y(m.y)} r=${m.chosen ? 6 : 4.5}><title>${`${m.label}: ${this.x.format(m.x)}, ${this.y.format(m.y)}`}</title></circle>`,
      )}
      ${labels.map((label, i) => {
        const place = places[i];
        return place
          ? svg`<text class="name ${label.chosen ? 'chosen-name' : ''}" x=${place.x} y=${place.y + 10} aria-hidden="true">${label.text}</text>`
          : nothing;
      })}
      ${ends(lines, at, bottom).map(
        end =>
          svg`<g aria-hidden="true"><path class="line ${end.look}" d=${`M${end.x},${end.y}L${end.x + 8},${end.at}`}></path>
            <text class="name" x=${end.x + 11} y=${end.at} dominant-baseline="middle">${end.name}</text></g>`,
      )}
    </svg>`;
  }
}

/** The names of the lines at their ends, pushed apart where lines end close together. */
function ends(lines: PlotLine[], at: (p: { x: number; y: number }) => [number, number], bottom: number) {
  const found = lines
    .filter(l => l.name && l.points.length > 0)
    .map(({ name, look, points }) => {
      const [x, y] = at(points.at(-1)!);
      return { name, look, x, y, at: y };
    })
    .sort((a, b) => a.y - b.y);
  const step = 14;
  let last = -Infinity;
  for (const end of found) last = end.at = Math.max(end.y, last + step);
  let next = bottom + step;
  for (const end of [...found].reverse()) next = end.at = Math.min(end.at, next - step);
  return found;
}

function scaleOf(axis: PlotAxis, values: number[], range: [number, number]) {
  const finite = values.filter(v => Number.isFinite(v) && (!axis.log || v > 0));
  const low = axis.from ?? (axis.log ? Math.min(...finite) * 0.8 : Math.min(0, ...finite));
  const high = axis.to ?? Math.max(...finite) * (axis.log ? 1.25 : 1.05);
  const domain: [number, number] = [low, high > low ? high : low + 1];
  return (axis.log ? scaleLog() : scaleLinear()).domain(domain).range(range).clamp(true);
}
