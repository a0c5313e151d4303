import { css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { lutColour } from '../draw/colour';
import { percent } from '../../shared/numbers';
import { headName, shortName } from '../model/names';
import { theme } from '../draw/theme';
import { headKey } from '../model/tried';
import { store, type HeadId } from '../host/store';
import { Component } from '../ui/component';

/** All heads of the model as one small picture: rows are layers (the first at the bottom), columns heads, colour a share of 1. */
@customElement('ai-head-strip')
export class HeadStrip extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        display: inline-block;
        cursor: pointer;
      }
      canvas {
        display: block;
        outline: 1px solid var(--line);
      }
    `,
  ];
  /** By `headKey`. */
  @property({ attribute: false }) values = new Map<string, number | null>();
  @property() what = '';
  @query('canvas') private canvas!: HTMLCanvasElement;

  private get rows(): number {
    return store.cores.length;
  }

  private get columns(): number {
    return Math.max(1, ...store.cores.map(c => c.heads.length));
  }

  /** Pixels of one cell, with the line between cells. */
  private get cell(): number {
    return Math.max(2, Math.min(9, Math.floor(104 / this.columns), Math.floor(72 / this.rows)));
  }

  override render() {
    const known = store.heads.flatMap(head => {
      const value = this.values.get(headKey(head));
      return value === null || value === undefined ? [] : [{ head, value }];
    });
    known.sort((a, b) => a.value - b.value);
    const [least, most] = [known[0], known.at(-1)];
    const words =
      least && most
        ? `${this.what} of every head: least ${percent(least.value)} in ${headName(least.head)}, most ${percent(most.value)} in ${headName(most.head)}`
        : `${this.what}: not known`;
    return html`<canvas
      role="img"
      aria-label=${words}
      @pointermove=${this.point}
      @pointerleave=${() => store.previewOf(null)}
      @click=${(event: PointerEvent) => {
        const head = this.headAt(event);
        if (head) store.select(head);
      }}
    ></canvas>`;
  }

  override updated(): void {
    const { canvas, cell, rows, columns } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = columns * cell * scale;
    canvas.height = rows * cell * scale;
    canvas.style.width = `${columns * cell}px`;
    canvas.style.height = `${rows * cell}px`;
    const draw = canvas.getContext('2d')!;
    draw.scale(scale, scale);
    const look = theme();
    const gap = cell > 4 ? 1 : 0;
    store.cores.forEach(({ heads }, at) => {
      for (const { core, head } of heads) {
        const value = this.values.get(headKey({ core, head }));
        if (value === null || value === undefined) continue;
        const [r, g, b] = lutColour(look.sequential, Math.max(0, Math.min(1, value)));
        draw.fillStyle = `rgb(${r}, ${g}, ${b})`;
        draw.fillRect(head * cell, (rows - 1 - at) * cell, cell - gap, cell - gap);
      }
    });
    const shown = store.previewHead ?? store.shownHead;
    const row = store.cores.findIndex(({ info }) => info.core === shown?.core);
    if (!shown || row < 0) return;
    draw.strokeStyle = `rgb(${look.focus.join(', ')})`;
    draw.lineWidth = 2;
    draw.strokeRect(shown.head * cell, (rows - 1 - row) * cell, cell - gap, cell - gap);
  }

  private headAt(event: PointerEvent): HeadId | null {
    const box = this.canvas.getBoundingClientRect();
    const head = Math.floor((event.clientX - box.x) / this.cell);
    const row = this.rows - 1 - Math.floor((event.clientY - box.y) / this.cell);
    const found = store.cores[row]?.heads[head];
    return found ? { core: found.core, head: found.head } : null;
  }

  private readonly point = (event: PointerEvent) => {
    const head = this.headAt(event);
    store.previewOf(head);
    const value = head && this.values.get(headKey(head));
    this.canvas.title = head
      ? `${shortName(head)}: ${this.what} ${value === null || value === undefined ? 'not known' : percent(value)}`
      : '';
  };
}
