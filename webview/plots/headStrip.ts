import { css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { lutColour } from '../draw/colour';
import { percent } from '../../shared/numbers';
import { headName, shortName } from '../model/names';
import { theme } from '../draw/theme';
import { headKey } from '../model/tried';
import { store, type HeadId } from '../host/store';
import { Component } from '../ui/component';
import { t } from '../host/words';

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

  /** Pixels of one cell, with the line between cells; of many layers it is low and wide. */
  private get cell(): { wide: number; high: number } {
    const fitting = (room: number, count: number) => Math.max(2, Math.min(9, Math.floor(room / count)));
    return { wide: fitting(104, this.columns), high: fitting(72, this.rows) };
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
        ? t(
            '{0} of every head: least {1} in {2}, most {3} in {4}',
            this.what,
            percent(least.value),
            headName(least.head),
            percent(most.value),
            headName(most.head),
          )
        : t('{0}: not known', this.what);
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
    const { canvas, rows, columns } = this;
    const { wide, high } = this.cell;
    const [width, height] = [columns * wide, rows * high];
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const draw = canvas.getContext('2d')!;
    draw.scale(scale, scale);
    const look = theme();
    const gap = Math.min(wide, high) > 4 ? 1 : 0;
    const box = (row: number, column: number) =>
      [column * wide, (rows - 1 - row) * high, wide - gap, high - gap] as const;
    store.cores.forEach(({ heads }, at) => {
      for (const { core, head } of heads) {
        const value = this.values.get(headKey({ core, head }));
        if (value === null || value === undefined) continue;
        const [r, g, b] = lutColour(look.sequential, Math.max(0, Math.min(1, value)));
        draw.fillStyle = `rgb(${r}, ${g}, ${b})`;
        draw.fillRect(...box(at, head));
      }
    });
    const shown = store.previewHead ?? store.shownHead;
    const row = store.cores.findIndex(({ info }) => info.core === shown?.core);
    if (!shown || row < 0) return;
    draw.strokeStyle = `rgb(${look.focus.join(', ')})`;
    draw.lineWidth = 2;
    draw.strokeRect(...box(row, shown.head));
  }

  private headAt(event: PointerEvent): HeadId | null {
    const box = this.canvas.getBoundingClientRect();
    const head = Math.floor((event.clientX - box.x) / this.cell.wide);
    const row = this.rows - 1 - Math.floor((event.clientY - box.y) / this.cell.high);
    const found = store.cores[row]?.heads[head];
    return found ? { core: found.core, head: found.head } : null;
  }

  private readonly point = (event: PointerEvent) => {
    const head = this.headAt(event);
    store.previewOf(head);
    const value = head && this.values.get(headKey(head));
    this.canvas.title = head
      ? `${shortName(head)}: ${this.what} ${value === null || value === undefined ? t('not known') : percent(value)}`
      : '';
  };
}
