import { SignalWatcher } from '@lit-labs/preact-signals';
import { LitElement, css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import type { Thumbnail } from '../../shared/protocol/engine';
import { type Lut } from '../draw/colour';
import { theme } from '../draw/theme';

/** RGBA pixels of a thumbnail. Its values are already on a square-root scale. */
export function thumbnailPixels(thumbnail: Thumbnail, lut: Lut): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(thumbnail.pixels.length * 4);
  for (let i = 0; i < thumbnail.pixels.length; i++) {
    const c = thumbnail.pixels[i]! * 4;
    pixels[i * 4] = lut[c]!;
    pixels[i * 4 + 1] = lut[c + 1]!;
    pixels[i * 4 + 2] = lut[c + 2]!;
    pixels[i * 4 + 3] = 255;
  }
  return pixels;
}

/** The small picture of a head's map, as large as its box. The caller says in words what it shows. */
@customElement('ai-thumb')
export class Thumb extends SignalWatcher(LitElement) {
  static override styles = css`
    :host {
      display: block;
    }
    canvas {
      display: block;
      width: 100%;
      height: 100%;
      image-rendering: pixelated;
    }
  `;
  @property({ attribute: false }) thumbnail: Thumbnail | null = null;
  @query('canvas') private canvas!: HTMLCanvasElement;
  private drawn: { thumbnail: Thumbnail; lut: Lut } | null = null;

  override render() {
    return html`<canvas aria-hidden="true"></canvas>`;
  }

  override updated(): void {
    const lut = theme().sequential;
    const { thumbnail, canvas } = this;
    if (!thumbnail || (this.drawn?.thumbnail === thumbnail && this.drawn.lut === lut)) return;
    const { size } = thumbnail;
    canvas.width = canvas.height = size;
    canvas.getContext('2d')!.putImageData(new ImageData(thumbnailPixels(thumbnail, lut), size, size), 0, 0);
    this.drawn = { thumbnail, lut };
  }
}
