import { css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import type { Buckets, TokenTable } from '../../shared/protocol/engine';
import { bucketColour, toCss, type Rgb } from '../draw/colour';
import { tokenLabel } from '../../shared/numbers';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { t } from '../host/words';

interface Point {
  token: number;
  kind: 'query' | 'key';
}

/** Queries and keys of one head in the same plane, two shapes, coloured by bucket; centres where there are any. */
@customElement('ai-projection')
export class Projection extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        position: relative;
        aspect-ratio: 1;
        max-width: 460px;
      }
      canvas {
        position: absolute;
        inset: 0;
        width: 100%;
        height: 100%;
        outline: 1px solid var(--line);
        cursor: crosshair;
      }
      .tip {
        position: absolute;
        pointer-events: none;
        max-width: 260px;
        padding: 3px 6px;
        background: var(--vscode-editorHoverWidget-background, var(--vscode-editorWidget-background));
        border: 1px solid var(--vscode-editorHoverWidget-border, var(--line));
        font-size: 12px;
        z-index: 2;
      }
    `,
  ];
  @property({ attribute: false }) buckets: Buckets | null = null;
  /** The number that each bucket is shown under. */
  @property({ attribute: false }) names: Int32Array = new Int32Array(0);
  @property({ attribute: false }) queryTokens: TokenTable | null = null;
  @property({ attribute: false }) keyTokens: TokenTable | null = null;
  @property({ type: Number }) round = 0;
  @property({ attribute: false }) focusBucket: number | null = null;
  @query('canvas') private canvas!: HTMLCanvasElement | null;
  @state() private pointed: (Point & { x: number; y: number }) | null = null;

  override render() {
    const { pointed } = this;
    const tokens = pointed?.kind === 'key' ? this.keyTokens : this.queryTokens;
    return html`<canvas
        role="img"
        aria-label=${t('Queries and keys in two dimensions, coloured by bucket')}
        @pointermove=${this.onMove}
        @pointerleave=${() => {
          this.pointed = null;
          store.preview(null);
        }}
        @click=${() => this.pointed && store.select({ token: this.pointed.token })}
      ></canvas>
      ${
        pointed && tokens
          ? html`<div
              class="tip"
              .style=${`top: ${pointed.y + 10}px; ${pointed.x > this.width / 2 ? `right: ${this.width - pointed.x + 8}px` : `left: ${pointed.x + 8}px`}`}
            >
              ${pointed.kind} ${this.context(tokens, pointed.token)}
            </div>`
          : nothing
      }`;
  }

  /** The token in its sentence. */
  private context(tokens: TokenTable, token: number) {
    const words = (from: number, to: number) =>
      tokens.text.slice(Math.max(0, from), Math.max(0, to)).join('').replace(/\s+/g, ' ');
    const bucket =
      this.buckets?.[this.pointed?.kind === 'key' ? 'keyBucket' : 'queryBucket'][this.round]?.[token] ?? -1;
    return html`${token}:
      …${words(token - 6, token)}<strong>${tokenLabel(tokens.text[token] ?? '').replace(/^\u00a0/, ' ')}</strong>${words(token + 1, token + 6)}…
      <span class="muted"
        >${bucket < 0 ? t('no bucket') : t('bucket {0}', this.names[bucket] ?? bucket)}</span
      >`;
  }

  /** From the plane to the screen: the same scale on both axes, a margin of 6 %. */
  private place(): { x: (v: number) => number; y: (v: number) => number } {
    const { width, height, buckets } = this;
    const { queries, keys, centers } = buckets!.projection;
    let least = Infinity;
    let most = -Infinity;
    for (const list of [queries, keys, centers]) {
      for (const v of list) {
        least = Math.min(least, v);
        most = Math.max(most, v);
      }
    }
    const span = Math.max(1e-9, most - least);
    const at = (v: number, size: number) => (0.06 + (0.88 * (v - least)) / span) * size;
    return { x: v => at(v, width), y: v => height - at(v, height) };
  }

  override updated(): void {
    const { canvas, buckets, width, height } = this;
    if (!canvas || !buckets || !width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext('2d')!;
    context.scale(ratio, ratio);
    const look = theme();
    const { queries, keys, centers } = buckets.projection;
    const { x, y } = this.place();
    const n = queries.length / 2;
    const size = n > 2000 ? 1.6 : n > 600 ? 2.2 : 3;
    const colours = new Map<number, Rgb>();
    const colour = (bucket: number) => {
      if (!colours.has(bucket)) colours.set(bucket, bucketColour(this.names[bucket] ?? bucket, look).fill);
      return colours.get(bucket)!;
    };
    const alpha = (bucket: number) => (this.focusBucket !== null && bucket !== this.focusBucket ? 0.08 : 0.8);
    context.lineWidth = 1;
    keys.forEach((_, i) => {
      if (i % 2) return;
      const bucket = buckets.keyBucket[this.round]![i / 2]!;
      context.strokeStyle = toCss(colour(bucket), alpha(bucket));
      triangle(context, x(keys[i]!), y(keys[i + 1]!), size + 1);
      context.stroke();
    });
    for (let i = 0; i < n; i++) {
      const bucket = buckets.queryBucket[this.round]![i]!;
      context.fillStyle = toCss(colour(bucket), alpha(bucket));
      context.beginPath();
      context.arc(x(queries[i * 2]!), y(queries[i * 2 + 1]!), size, 0, 2 * Math.PI);
      context.fill();
    }
    for (let c = 0; c < centers.length / 2; c++) {
      const [cx, cy] = [x(centers[c * 2]!), y(centers[c * 2 + 1]!)];
      context.lineWidth = 2;
      for (const [ink, extra] of [
        [look.background, 2],
        [colour(c), 0],
      ] as const) {
        context.strokeStyle = toCss(ink);
        context.lineWidth = 2 + extra;
        context.beginPath();
        context.moveTo(cx - 6, cy);
        context.lineTo(cx + 6, cy);
        context.moveTo(cx, cy - 6);
        context.lineTo(cx, cy + 6);
        context.stroke();
      }
      context.fillStyle = toCss(look.foreground);
      context.font = `10px ${look.font}`;
      context.fillText(String(c), cx + 7, cy - 4);
    }
    const token = store.selection.token;
    if (token !== null && token < n) {
      context.strokeStyle = toCss(look.focus);
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x(queries[token * 2]!), y(queries[token * 2 + 1]!), size + 4, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  private readonly onMove = (event: PointerEvent) => {
    if (!this.buckets) return;
    const box = this.getBoundingClientRect();
    const [px, py] = [event.clientX - box.x, event.clientY - box.y];
    const { x, y } = this.place();
    let best: (Point & { x: number; y: number }) | null = null;
    let nearest = 12;
    for (const kind of ['query', 'key'] as const) {
      const list = this.buckets.projection[kind === 'query' ? 'queries' : 'keys'];
      for (let i = 0; i < list.length; i += 2) {
        const distance = Math.hypot(x(list[i]!) - px, y(list[i + 1]!) - py);
        if (distance < nearest) {
          nearest = distance;
          best = { token: i / 2, kind, x: px, y: py };
        }
      }
    }
    this.pointed = best;
    store.preview(best?.token ?? null);
  };
}

function triangle(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.beginPath();
  context.moveTo(x, y - size);
  context.lineTo(x + size, y + size * 0.8);
  context.lineTo(x - size, y + size * 0.8);
  context.closePath();
}
