import { css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { toCss, type Rgb } from '../draw/colour';
import { count } from '../../shared/numbers';
import { Component } from '../ui/component';
import { t } from '../host/words';

const HEIGHT = 16;

/** The whole text as a strip, a bar per stretch of tokens: where in the text the colour is. Fires `seek` (a token). */
@customElement('ai-change-strip')
export class ChangeStrip extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        cursor: pointer;
      }
      canvas {
        display: block;
        width: 100%;
        height: ${HEIGHT}px;
        outline: 1px solid var(--line);
      }
      .ends {
        display: flex;
        justify-content: space-between;
        font-size: 11px;
        color: var(--muted);
      }
    `,
  ];
  /** [tokens]; the largest of a stretch is drawn. */
  @property({ attribute: false }) values: Float32Array = new Float32Array(0);
  @property({ attribute: false }) colourOf: (value: number) => Rgb = () => [0, 0, 0];
  @property({ attribute: false }) token: number | null = null;
  @query('canvas') private canvas!: HTMLCanvasElement;

  override render() {
    const { values } = this;
    return html`<canvas
        role="img"
        aria-label=${t('Where in the text the change is; the list of tokens has the numbers')}
        @click=${this.onClick}
      ></canvas>
      <div class="ends">
        <span>${t('token 0')}</span><span>${count(Math.max(0, values.length - 1))}</span>
      </div>`;
  }

  override updated(): void {
    const { canvas, values, width } = this;
    if (!width || values.length === 0) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    const paint = canvas.getContext('2d')!;
    const bins = Math.min(canvas.width, values.length);
    for (let b = 0; b < bins; b++) {
      const from = Math.floor((b / bins) * values.length);
      const to = Math.max(from + 1, Math.floor(((b + 1) / bins) * values.length));
      let most = values[from]!;
      for (let t = from; t < to; t++) if (Math.abs(values[t]!) > Math.abs(most)) most = values[t]!;
      const left = Math.round((b / bins) * canvas.width);
      const right = Math.round(((b + 1) / bins) * canvas.width);
      paint.fillStyle = toCss(this.colourOf(most));
      paint.fillRect(left, 0, right - left, canvas.height);
    }
    if (this.token === null) return;
    const x = ((this.token + 0.5) / values.length) * canvas.width;
    paint.fillStyle = getComputedStyle(this).getPropertyValue('--focus') || '#888';
    paint.fillRect(Math.round(x - ratio), 0, Math.max(2, Math.round(2 * ratio)), canvas.height);
  }

  private readonly onClick = (event: MouseEvent) => {
    const { left, width } = this.canvas.getBoundingClientRect();
    const share = (event.clientX - left) / width;
    const token = Math.max(0, Math.min(this.values.length - 1, Math.floor(share * this.values.length)));
    this.dispatchEvent(new CustomEvent('seek', { detail: token }));
  };
}
