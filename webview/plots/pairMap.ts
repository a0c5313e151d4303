import { css, html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { lutColour, scaleMass } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';

/** A whole map of one head, or the difference of two, in one picture. Fires `cell` (its row and column) when one is clicked. */
@customElement('ai-pair-map')
export class PairMap extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        aspect-ratio: 1;
        max-width: 460px;
      }
      canvas {
        display: block;
        width: 100%;
        height: 100%;
        image-rendering: pixelated;
        outline: 1px solid var(--line);
      }
    `,
  ];
  /** [rows][columns]; null while it is not known. */
  @property({ attribute: false }) values: Float32Array | null = null;
  @property({ type: Number }) columns = 1;
  /** The value at the end of the colours; of a difference the same below 0. */
  @property({ type: Number }) largest = 1;
  @property({ type: Boolean }) difference = false;
  @property() label = '';
  /** What is said of a cell. */
  @property({ attribute: false }) words: (row: number, column: number) => string = () => '';
  @query('canvas') private canvas!: HTMLCanvasElement | null;

  override render() {
    return this.values
      ? html`<canvas
          role="img"
          aria-label=${this.label}
          @pointermove=${(event: PointerEvent) => {
            const { row, column } = this.cell(event);
            this.title = this.words(row, column);
          }}
          @click=${(event: PointerEvent) =>
            this.dispatchEvent(new CustomEvent('cell', { detail: this.cell(event) }))}
        ></canvas>`
      : nothing;
  }

  override updated(): void {
    const { canvas, values, columns, largest, difference } = this;
    if (!canvas || !values) return;
    const look = theme();
    const { massScale } = store.settings;
    const image = new ImageData(columns, values.length / columns);
    values.forEach((value, i) => {
      const size = scaleMass(Math.abs(value), largest, massScale);
      const [r, g, b] = difference
        ? lutColour(look.diverging, 0.5 + (Math.sign(value) * size) / 2)
        : lutColour(look.sequential, size);
      image.data.set([r, g, b, 255], i * 4);
    });
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext('2d')!.putImageData(image, 0, 0);
  }

  private cell(event: PointerEvent): { row: number; column: number } {
    const box = this.getBoundingClientRect();
    const rows = (this.values?.length ?? 0) / this.columns;
    const at = (px: number, size: number, cells: number) =>
      Math.max(0, Math.min(cells - 1, Math.floor((px / size) * cells)));
    return {
      row: at(event.clientY - box.y, box.height, rows),
      column: at(event.clientX - box.x, box.width, this.columns),
    };
  }
}
