import { css, html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { TILE_SIZE, type Setting, type Tile } from '../../shared/protocol/engine';
import { lutColour, mix, niceCeiling, scaleMass } from '../draw/colour';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type HeadId } from '../host/store';
import { sampledRows } from '../map/sampledRows';
import { Component } from '../ui/component';

/** The whole map of one head, small: what a mechanism keeps in the mass colours, what it loses in orange, on its pairs in grey. */
@customElement('ai-kept-thumb')
export class KeptThumb extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        position: relative;
        outline: 1px solid var(--line);
      }
      canvas {
        display: block;
        width: 100%;
        height: 100%;
      }
      .failed {
        position: absolute;
        inset: 0;
        display: grid;
        place-items: center;
        color: var(--muted);
      }
    `,
  ];
  @property({ attribute: false }) head: HeadId | null = null;
  @property({ attribute: false }) choice: Setting | null = null;
  @query('canvas') private canvas!: HTMLCanvasElement | null;
  private readonly tile = new Remote(this, 'analysis/tile', 120);

  override willUpdate(): void {
    const { head, choice } = this;
    const { id, tokens } = store;
    const queries = head && (store.tokensOf(store.sides(head.core).queries) ?? tokens);
    if (!id || !head || !choice || !queries || !store.summary) return this.tile.want(null);
    const keys = store.tokensOf(store.sides(head.core).keys) ?? tokens;
    // The coarsest tile, which holds the whole map: the one that the Head view begins with.
    const side = Math.max(queries.ids.length, keys?.ids.length ?? 0);
    const level = Math.max(0, Math.ceil(Math.log2(side / TILE_SIZE)));
    this.tile.want({ id, ...head, level, row: 0, column: 0, reduce: 'max', mechanism: choice });
  }

  override render() {
    const { value, answers } = this.tile;
    return html`<canvas
        aria-hidden="true"
        title=${sampledRows(value, answers?.level ?? 0) ?? nothing}
      ></canvas
      >${this.tile.error ? html`<span class="failed" title=${this.tile.error}>–</span>` : nothing}`;
  }

  override updated(): void {
    const { canvas } = this;
    const tile = this.tile.value;
    if (!canvas || !tile) return;
    canvas.width = tile.columns;
    canvas.height = tile.rows;
    canvas.getContext('2d')!.putImageData(new ImageData(this.pixels(tile), tile.columns, tile.rows), 0, 0);
  }

  private pixels(tile: Tile): Uint8ClampedArray<ArrayBuffer> {
    const look = theme();
    const largest = niceCeiling(tile.mass.reduce((a, b) => Math.max(a, b), 0));
    const pixels = new Uint8ClampedArray(tile.mass.length * 4);
    for (let i = 0; i < tile.mass.length; i++) {
      const t = scaleMass(tile.mass[i]!, largest, 'sqrt');
      const share = tile.kept?.[i] ?? 1;
      const pairs = mix(look.background, look.foreground, 0.3 * Math.min(1, share * 2));
      const seen = mix(pairs, lutColour(look.sequential, t), Math.min(1, 2.5 * t));
      const [r, g, b] = mix(lutColour(look.diverging, 0.5 + t / 2), seen, share);
      pixels.set([r, g, b, 255], i * 4);
    }
    return pixels;
  }
}
