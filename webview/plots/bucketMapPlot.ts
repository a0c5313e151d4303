import { css, html, nothing, svg } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import type { BucketMap } from '../../shared/protocol/engine';
import { bucketColour, lutColour, mix, scaleMass, toCss } from '../draw/colour';
import { percent, tokenLabel } from '../../shared/numbers';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { t } from '../host/words';

/** A block lower than this has no room for its label. */
const LEGIBLE = 13;

/** The map with queries and keys sorted by bucket: what is kept in the mass colours, what is lost in orange. */
@customElement('ai-bucket-map')
export class BucketMapPlot extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        position: relative;
        aspect-ratio: 1;
        max-width: 460px;
      }
      canvas,
      svg {
        position: absolute;
        inset: 0;
        width: 100%;
        height: 100%;
      }
      canvas {
        image-rendering: pixelated;
        outline: 1px solid var(--line);
      }
      .box {
        fill: none;
        stroke: var(--vscode-foreground);
        stroke-opacity: 0.4;
      }
      .label {
        font-size: 10px;
        paint-order: stroke;
        stroke: var(--vscode-editor-background);
        stroke-width: 3px;
        pointer-events: none;
      }
      .box.shown {
        stroke: var(--focus);
        stroke-opacity: 1;
        stroke-width: 2;
      }
    `,
  ];
  @property({ attribute: false }) map: BucketMap | null = null;
  /** The number that each bucket is shown under, and words that tell it from the others. */
  @property({ attribute: false }) names: Int32Array = new Int32Array(0);
  @property({ attribute: false }) telling: readonly (readonly string[])[] = [];
  @property({ type: Number }) largest = 1;
  @property({ attribute: false }) focusBucket: number | null = null;
  @query('canvas') private canvas!: HTMLCanvasElement | null;
  @state() private words = '';

  override render() {
    const { map, width, height } = this;
    if (!map) return nothing;
    const [sx, sy] = [width / map.columns, height / map.rows];
    const colours = theme();
    return html`<canvas aria-hidden="true"></canvas>
      <svg
        role="img"
        aria-label=${t('Attention map sorted by bucket: buckets lie on the diagonal')}
        @pointermove=${(event: PointerEvent) => this.point(event, map)}
        @click=${(event: PointerEvent) => this.choose(event, map)}
      >
        <title>${this.words}</title>
        <rect width="100%" height="100%" fill="transparent"></rect>
        ${[...map.rowStarts.keys()].slice(0, -1).map(bucket => {
          const block = blockOf(map, bucket);
          if (block.height <= 0 || block.width <= 0) return nothing;
          return svg`<rect class=${bucket === this.focusBucket ? 'box shown' : 'box'} x=${block.x * sx} y=${block.y * sy}
              width=${block.width * sx} height=${block.height * sy}></rect>
            <rect x="0" y=${block.y * sy} width="4" height=${block.height * sy} fill=${toCss(bucketColour(this.names[bucket] ?? bucket, colours).fill)}></rect>
            ${block.height * sy >= LEGIBLE ? this.label(bucket, 8, block.y * sy + Math.min((block.height * sy) / 2 + 4, 13)) : nothing}`;
        })}
      </svg>`;
  }

  /** Beside its colour: number and words of a bucket, haloed, since it stands on the map. */
  private label(bucket: number, x: number, y: number) {
    const words = (this.telling[bucket] ?? []).slice(0, 3).map(word => tokenLabel(word, 10));
    return svg`<text class="label" x=${x} y=${y}>${[this.names[bucket] ?? bucket, ...words].join(' ')}</text>`;
  }

  override updated(): void {
    const { canvas, map } = this;
    if (!canvas || !map) return;
    const look = theme();
    const image = new ImageData(map.columns, map.rows);
    for (let i = 0; i < map.mass.length; i++) {
      const t = scaleMass(map.mass[i]!, this.largest, store.settings.massScale);
      const kept = lutColour(look.sequential, t);
      const lost = lutColour(look.diverging, 0.5 + t / 2);
      const [r, g, b] = mix(lost, kept, map.kept[i]!);
      image.data.set([r, g, b, 255], i * 4);
    }
    canvas.width = map.columns;
    canvas.height = map.rows;
    canvas.getContext('2d')!.putImageData(image, 0, 0);
  }

  private cell(event: PointerEvent, map: BucketMap): { row: number; column: number } {
    const box = this.getBoundingClientRect();
    const at = (px: number, size: number, cells: number) =>
      Math.max(0, Math.min(cells - 1, Math.floor((px / size) * cells)));
    return {
      row: at(event.clientY - box.y, box.height, map.rows),
      column: at(event.clientX - box.x, box.width, map.columns),
    };
  }

  private point(event: PointerEvent, map: BucketMap): void {
    const { row, column } = this.cell(event, map);
    const i = row * map.columns + column;
    const name = (bucket: number) =>
      bucket < 0 ? t('no bucket') : t('bucket {0}', this.names[bucket] ?? bucket);
    this.words = t(
      'queries of {0}, keys of {1}: mean mass {2}, {3} of it kept',
      name(bucketAt(map.rowStarts, row)),
      name(bucketAt(map.columnStarts, column)),
      percent(map.mass[i]!),
      percent(map.kept[i]!),
    );
  }

  private choose(event: PointerEvent, map: BucketMap): void {
    this.dispatchEvent(
      new CustomEvent('bucket', { detail: bucketAt(map.rowStarts, this.cell(event, map).row) }),
    );
  }
}

/** Where a bucket's block lies, in cells. */
function blockOf(map: BucketMap, bucket: number): { x: number; y: number; width: number; height: number } {
  const x = map.columnStarts[bucket]!;
  const y = map.rowStarts[bucket]!;
  return {
    x,
    y,
    width: (map.columnStarts[bucket + 1] ?? map.columns) - x,
    height: (map.rowStarts[bucket + 1] ?? map.rows) - y,
  };
}

/** The bucket that a cell belongs to; the last start is that of the tokens in none: -1. */
function bucketAt(starts: Float32Array, cell: number): number {
  let bucket = 0;
  for (let b = 0; b < starts.length; b++) if (starts[b]! <= cell + 0.5) bucket = b;
  return bucket === starts.length - 1 ? -1 : bucket;
}
