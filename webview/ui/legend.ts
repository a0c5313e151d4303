import { html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { css } from 'lit';
import type { Lut } from '../draw/colour';
import { Component } from './component';
import { t } from '../host/words';

export interface LegendTick {
  /** 0..1 along the bar. */
  at: number;
  label: string;
}

/** A colour bar with real units under it. */
@customElement('ai-legend')
export class Legend extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        display: inline-flex;
        gap: 8px;
        align-items: start;
        padding-right: 20px;
        font-size: 11px;
      }
      .bar {
        position: relative;
        width: 150px;
        height: 24px;
      }
      canvas {
        width: 100%;
        height: 8px;
        display: block;
        outline: 1px solid var(--line);
      }
      .tick {
        position: absolute;
        top: 11px;
        transform: translateX(-50%);
        white-space: nowrap;
        color: var(--muted);
      }
      /* A long one ends where the space beside the bar does. */
      .tick.last {
        transform: translateX(min(-50%, calc(-100% + 20px)));
      }
      .title {
        white-space: nowrap;
        line-height: 10px;
      }
    `,
  ];
  @property() label = '';
  @property({ attribute: false }) lut: Lut | null = null;
  @property({ attribute: false }) ticks: LegendTick[] = [];
  @query('canvas') private canvas!: HTMLCanvasElement;
  private drawn: Lut | null = null;

  override render() {
    const words = this.ticks.map(t => t.label).join(', ');
    return html`<span class="title">${this.label}</span>
      <span class="bar" role="img" aria-label=${t('Colour scale, {0}: {1}', this.label, words)}>
        <canvas width="256" height="1"></canvas>
        ${this.ticks.length ? this.ticks.map(t => html`<span class=${t.at === 1 ? 'tick last' : 'tick'} .style=${`left: ${t.at * 100}%`}>${t.label}</span>`) : nothing}
      </span>`;
  }

  override updated(): void {
    if (!this.lut || this.drawn === this.lut) return;
    this.drawn = this.lut;
    this.canvas.getContext('2d')!.putImageData(new ImageData(new Uint8ClampedArray(this.lut), 256, 1), 0, 0);
  }
}
