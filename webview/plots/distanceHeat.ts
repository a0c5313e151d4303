import { scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import type { HeadProfile, SpanFit } from '../../shared/protocol/engine';
import { scaleMass } from '../draw/colour';
import { count, percent } from '../../shared/numbers';
import { headName, shortName } from '../model/names';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisBottom } from './axes';
import { distanceBins, distanceWords } from './distance';
import { t } from '../host/words';

const LEFT = 60;
/** Room for half of the last number on the axis. */
const RIGHT = 22;
const BOTTOM = 34;

/** All heads by relative distance, as in the Transformer-XL paper: rows are heads by span, columns are distances. */
@customElement('ai-distance-heat')
export class DistanceHeat extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        position: relative;
      }
      canvas {
        position: absolute;
        image-rendering: pixelated;
        outline: 1px solid var(--line);
      }
      svg {
        display: block;
        position: relative;
      }
      .shown {
        fill: none;
        stroke: var(--focus);
        stroke-width: 2;
      }
      .fit {
        stroke: var(--accent2);
        stroke-width: 2;
      }
      .hit {
        fill: transparent;
        cursor: pointer;
      }
      .name {
        cursor: pointer;
      }
    `,
  ];
  @property({ attribute: false }) heads: HeadProfile[] = [];
  @property({ attribute: false }) fit: SpanFit | null = null;
  /** Mass of a bin at the end of the colour map. */
  @property({ type: Number }) largest = 1;
  @query('canvas') private canvas!: HTMLCanvasElement | null;
  @state() private pointed: { row: number; bin: number } | null = null;

  private get rowHeight(): number {
    return Math.max(3, Math.min(15, Math.floor(560 / Math.max(1, this.heads.length))));
  }

  override render() {
    const { width, heads, rowHeight } = this;
    const first = heads[0];
    if (!width || !first) return nothing;
    const { edges } = first.distance;
    const farthest = edges[edges.length - 1]!;
    const plot = { width: width - LEFT - RIGHT, height: rowHeight * heads.length };
    const x = scaleLog()
      .domain([1, farthest + 1])
      .range([LEFT, LEFT + plot.width]);
    const named = rowHeight >= 10;
    const spans = new Map(this.fit?.heads.map(h => [`${h.core}.${h.head}`, h.span]));
    return html`<canvas
        aria-hidden="true"
        .style=${`left: ${LEFT}px; top: 0; width: ${plot.width}px; height: ${plot.height}px`}
      ></canvas>
      <svg
        width=${width}
        height=${plot.height + BOTTOM}
        role="img"
        aria-label=${t('Mass by distance for {0} heads, longest span on top', heads.length)}
      >
        ${axisBottom(x, plot.height, { ticks: 6, format: t => count(t), label: t('distance + 1, tokens (log)') })}
        ${heads.map((h, row) => {
          const y = row * rowHeight;
          const span = spans.get(`${h.core}.${h.head}`);
          const shown = h.core === store.shownHead?.core && h.head === store.shownHead.head;
          return svg`
            ${named ? svg`<text class=${shown ? 'name' : 'name muted'} x=${LEFT - 6} y=${y + rowHeight / 2} text-anchor="end" dominant-baseline="central" font-size="10" @click=${() => store.select({ core: h.core, head: h.head })}>${shortName(h)}</text>` : nothing}
            ${span === undefined ? nothing : svg`<line class="fit" x1=${x(span + 1)} x2=${x(span + 1)} y1=${y} y2=${y + rowHeight}></line>`}
            ${shown ? svg`<rect class="shown" x=${LEFT} y=${y} width=${plot.width} height=${rowHeight}></rect>` : nothing}`;
        })}
        <rect
          class="hit"
          x=${LEFT}
          y="0"
          width=${plot.width}
          height=${plot.height}
          @pointermove=${(event: PointerEvent) => this.point(event, value => x.invert(value) - 1)}
          @pointerleave=${() => {
            this.pointed = null;
            store.previewOf(null);
          }}
          @click=${() => this.pointed && store.select(idOf(heads[this.pointed.row]!))}
        >
          <title>${this.words}</title>
        </rect>
      </svg>`;
  }

  /** What is under the pointer. */
  get words(): string {
    const head = this.pointed && this.heads[this.pointed.row];
    if (!head) return '';
    const bin = distanceBins(head)[this.pointed!.bin];
    return bin
      ? t('{0}: {1} of the mass at {2}', headName(head), percent(bin.mass), distanceWords(bin.from, bin.to))
      : '';
  }

  private point(event: PointerEvent, distanceAt: (px: number) => number): void {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const row = Math.max(
      0,
      Math.min(this.heads.length - 1, Math.floor((event.clientY - box.y) / this.rowHeight)),
    );
    const distance = distanceAt(event.clientX - box.x + LEFT);
    const { edges } = this.heads[row]!.distance;
    let bin = 0;
    while (bin < edges.length - 2 && edges[bin + 1]! <= distance) bin++;
    this.pointed = { row, bin };
    store.previewOf(idOf(this.heads[row]!));
  }

  override updated(): void {
    const { canvas, heads, width } = this;
    const first = heads[0];
    if (!canvas || !first || !width) return;
    const { edges } = first.distance;
    const lut = theme().sequential;
    const columns = Math.max(1, width - LEFT - RIGHT);
    // One pixel per column of the screen: bins are of unequal width on a logarithmic axis.
    const x = scaleLog()
      .domain([1, edges[edges.length - 1]! + 1])
      .range([0, columns]);
    const binOf = new Int32Array(columns);
    for (let px = 0, bin = 0; px < columns; px++) {
      const distance = x.invert(px + 0.5) - 1;
      while (bin < edges.length - 2 && edges[bin + 1]! <= distance + 0.5) bin++;
      binOf[px] = bin;
    }
    const image = new ImageData(columns, heads.length);
    heads.forEach((head, row) => {
      for (let px = 0; px < columns; px++) {
        const t = scaleMass(head.distance.mass[binOf[px]!]!, this.largest, store.settings.massScale);
        const c = Math.round(t * 255) * 4;
        image.data.set(lut.subarray(c, c + 4), (row * columns + px) * 4);
      }
    });
    canvas.width = columns;
    canvas.height = heads.length;
    canvas.getContext('2d')!.putImageData(image, 0, 0);
  }
}

function idOf({ core, head }: HeadProfile) {
  return { core, head };
}
