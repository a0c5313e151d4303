import { css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { keyed } from 'lit/directives/keyed.js';
import type { Setting, TokenTable, ValueWeights } from '../../shared/protocol/engine';
import { headName } from '../model/names';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type HeadId } from '../host/store';
import { Component } from '../ui/component';
import { askedByValue, byValue } from '../ui/weighing';
import { LABEL_SCALE } from './geometry';
import { MapDrawing, type MapPicture } from './mapDrawing';
import { MapInput } from './mapInput';
import { MapModel } from './mapModel';
import { TileLoader, sourceKey, type TileSource } from './tileLoader';
import { sampledRows } from './sampledRows';
import { readout, tilesCsv, twin, type MapWords } from './words';
import { t } from '../host/words';

/** The zoomable map of one head. Fires `colours` when its colours end elsewhere, its cells rest on other rows or its readout says something else. */
@customElement('ai-map')
export class MapElement extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        position: relative;
        height: 100%;
        min-height: 320px;
        overflow: hidden;
      }
      canvas {
        position: absolute;
      }
      .over {
        inset: 0;
        touch-action: none;
        cursor: crosshair;
      }
      .over:focus-visible {
        outline-offset: -2px;
      }
      .mini {
        outline: 1px solid var(--line);
        pointer-events: none;
        image-rendering: pixelated;
        box-shadow: 0 0 0 3px var(--vscode-editor-background);
      }
    `,
  ];
  @property({ attribute: false }) head: HeadId | null = null;
  @property({ attribute: false }) mechanism: Setting | null = null;
  @property() reduce: 'max' | 'mean' = 'max';
  /** Of the head, where its values count and they are known. */
  @property({ attribute: false }) weights: ValueWeights | null = null;
  /** Mass at the end of the colour map. */
  largest = 1;
  /** Where the map that is drawn rests on some of its rows, in words. */
  sampled: string | null = null;

  @query('.map') private mapCanvas!: HTMLCanvasElement | null;
  @query('.over') private overCanvas!: HTMLCanvasElement | null;
  @query('.mini') private miniCanvas!: HTMLCanvasElement | null;
  /** Goes up when the canvas has to be replaced: WebGL2 was lost, and a canvas has one kind of context for life. */
  @state() private generation = 0;
  private readonly model = new MapModel();
  private readonly painter = new MapDrawing(this.model);
  private readonly input = new MapInput(this.model, {
    moved: () => this.requestUpdate(),
    pointed: query => this.pointed(query),
    pinned: query => this.pinned(query),
    opened: ({ query, key }) => this.reveal(query, key),
  });
  private readonly loader = new TileLoader(
    () => this.requestUpdate(),
    key => this.painter.forget(key),
  );
  private readonly row = new Remote(this, 'analysis/row', 30);
  private readonly column = new Remote(this, 'analysis/row', 30);
  private picture: MapPicture | null = null;
  private scheduled = false;
  private said: string | null = null;

  /** The keyboard goes to the map. */
  takeFocus(): void {
    this.renderRoot.querySelector<HTMLElement>('.over')?.focus();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.remembering);
    this.painter.dispose();
    this.loader.setSource(null);
    this.generation++;
  }

  // ------------------------------------------------------------ what it is of

  private get sides() {
    return store.sides(this.head?.core ?? null);
  }

  private get queryTokens(): TokenTable | null {
    return store.tokensOf(this.sides.queries);
  }

  private get keyTokens(): TokenTable | null {
    return store.tokensOf(this.sides.keys);
  }

  private get causal(): boolean {
    return store.model?.cores.find(c => c.core === this.head?.core)?.causal ?? false;
  }

  /** Only tokens of the analysed text are selected for everyone; those of a decoder's own text are pinned here alone. */
  private get shared(): boolean {
    return this.sides.queries === 'text';
  }

  private get source(): TileSource | null {
    const { head, reduce, mechanism } = this;
    const { id } = store;
    return id && head && store.profile(head) ? { id, head, reduce, mechanism, byValue: byValue() } : null;
  }

  // ------------------------------------------------------------ life

  override willUpdate(): void {
    const { source } = this;
    this.loader.setSource(source);
    if (!source) {
      this.row.want(null);
      this.column.want(null);
      return;
    }
    const { id, head } = source;
    this.model.follow(
      {
        id,
        extent: { rows: this.queryTokens?.ids.length ?? 1, columns: this.keyTokens?.ids.length ?? 1 },
        width: this.width,
        height: this.height,
        pixelRatio: window.devicePixelRatio || 1,
        causal: this.causal,
        finest: store.report?.maps?.level ?? 0,
        shared: this.shared,
        selected: store.selection.token,
        previewed: store.previewToken,
      },
      store.option('head', 'camera', ''),
    );
    if (this.width && this.height) {
      this.followPin(source);
      this.loader.want(this.model.wanted());
      this.remember();
    }
    const { query, key } = this.model.crosshair;
    const weighed = askedByValue();
    this.row.want(query === null ? null : { id, ...head, token: query, direction: 'from', ...weighed });
    this.column.want(key === null ? null : { id, ...head, token: key, direction: 'to', ...weighed });
    const largest = this.model.largest(this.loader.tiles(), this.reduce) ?? this.largest;
    const finest = this.model.placed(this.loader.tiles()).at(-1)?.tile;
    const sampled = finest ? sampledRows(finest.tile, finest.level) : null;
    if (largest !== this.largest || sampled !== this.sampled) {
      this.largest = largest;
      this.sampled = sampled;
      queueMicrotask(() => this.spoken());
    }
  }

  /** A pin, or another head for it, brings the pinned query and its heaviest key into sight, once. */
  private followPin({ id, head }: TileSource): void {
    const { crosshair, hover, dragging } = this.model;
    const { query } = crosshair;
    const { value, answers } = this.row;
    if (query === null || !crosshair.pinned) return;
    const pin = [id, head.core, head.head, query].join();
    // Under the pointer nothing moves: what is pinned there is in sight.
    if (hover || dragging) this.followed = pin;
    const known = answers?.token === query && answers.core === head.core && answers.head === head.head;
    if (pin === this.followed || !value || !known) return;
    this.followed = pin;
    let key = 0;
    for (let k = 1; k < value.length; k++) if (value[k]! > value[key]!) key = k;
    this.model.showPair({ query, key });
  }
  private followed = '';

  /** When the map has come to rest: where this view is opened again, it stands there. */
  private remember(): void {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const { place } = this.model;
      if (place !== store.option('head', 'camera', '')) store.setOption('head', 'camera', place);
    }, 400);
  }
  private remembering: ReturnType<typeof setTimeout> | undefined;

  // ------------------------------------------------------------ what the input leads to

  private pointed(query: number | null): void {
    if (this.shared) store.preview(query);
    this.requestUpdate();
    this.spoken();
  }

  private pinned(query: number): void {
    if (this.shared) store.select({ ...(this.head ?? {}), token: query });
    this.requestUpdate();
  }

  private reveal(query: number, key: number): void {
    const { queries, keys } = this.sides;
    const tokens = [...(queries === 'text' ? [query] : []), ...(keys === 'text' ? [key] : [])];
    if (tokens.length) store.host.send({ type: 'reveal', tokens });
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const { head, model, input } = this;
    const { frame } = model;
    const { map } = frame;
    const mini = Math.min(110, map.width / 3, map.height / 3);
    return html`
      ${keyed(
        this.generation,
        html`<canvas
          class="map"
          aria-hidden="true"
          .style=${box(map)}
          @webglcontextlost=${(event: Event) => {
            event.preventDefault();
            this.painter.lost();
            this.generation++;
          }}
        ></canvas>`,
      )}
      <canvas
        class="over"
        tabindex="0"
        role="img"
        aria-label=${head ? t('Attention map of {0}. Plus and minus zoom, Shift and arrows move, square brackets move the query, Enter pins it.', headName(head)) : t('Attention map')}
        aria-describedby="twin"
        .style=${box({ x: 0, y: 0, width: frame.width, height: frame.height })}
        @pointerdown=${input.onDown}
        @pointermove=${input.onMove}
        @pointerup=${input.onUp}
        @pointerleave=${input.onLeave}
        @dblclick=${input.onDouble}
        @wheel=${input.onWheel}
        @keydown=${input.onKey}
      ></canvas>
      ${
        head && model.zoomed
          ? html`<canvas
              class="mini"
              aria-hidden="true"
              width=${mini * 2}
              height=${mini * 2}
              .style=${box({ x: map.x + map.width - mini - 8, y: map.y + 8, width: mini, height: mini })}
            ></canvas>`
          : nothing
      }
      ${twin(this.words)}
    `;
  }

  override updated(): void {
    // The row under the pointer arrives after the pointer did.
    const { readout } = this;
    if (readout !== this.said) {
      this.said = readout;
      queueMicrotask(() => this.spoken());
    }
    this.picture = this.pictureNow();
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  /** Read while the component updates, so that it updates when something of it changes. */
  private pictureNow(): MapPicture | null {
    const { source, queryTokens, keyTokens } = this;
    if (!source || !queryTokens || !keyTokens) return null;
    return {
      tiles: this.loader.tiles(),
      queryTokens,
      keyTokens,
      row: this.row.value,
      column: this.column.value,
      thumbnail: store.profile(source.head)?.thumbnail ?? null,
      largest: this.largest,
      scale: store.settings.massScale,
      overlay: this.mechanism !== null,
      theme: theme(),
    };
  }

  private draw(): void {
    const { mapCanvas: map, overCanvas: over, miniCanvas: mini, picture } = this;
    if (map && over && picture && this.isConnected) this.painter.draw({ map, over, mini }, picture);
  }

  // ------------------------------------------------------------ words

  private get words(): MapWords {
    const { row, model } = this;
    const { crosshair } = model;
    const { answers } = row;
    const known = answers?.token === crosshair.query && (answers.byValue ?? false) === byValue();
    return {
      queryTokens: this.queryTokens,
      keyTokens: this.keyTokens,
      crosshair,
      causal: this.causal,
      row: known ? row.value : null,
      byValue: byValue(),
      weights: this.weights,
      linksOnly: store.report !== null,
      mechanism: this.mechanism?.name ?? null,
      findTile: address => this.loader.find(address),
    };
  }

  /** What is under the crosshair, exactly, in words; null when nothing is. */
  get readout(): string | null {
    return readout(this.words);
  }

  get failure(): string | null {
    return this.loader.error;
  }

  /** For the legend and the readout around the map. */
  private spoken(): void {
    this.dispatchEvent(new Event('colours'));
  }

  /** The cells in sight at the level that is drawn. */
  toCsv(): string | null {
    if (!this.model.camera) return null;
    const tiles = this.model.placed(this.loader.tiles()).map(({ tile }) => tile);
    return tilesCsv(this.words, tiles, this.reduce);
  }

  /** For tests: which renderer draws, and whether words are on the axes. */
  get drawing(): { renderer: string; words: boolean; source: string } {
    const { source } = this;
    return {
      renderer: this.painter.kind,
      words: (this.model.camera?.scale ?? 0) >= LABEL_SCALE,
      source: source ? sourceKey(source) : '',
    };
  }
}

function box(rect: { x: number; y: number; width: number; height: number }): string {
  return `left: ${rect.x}px; top: ${rect.y}px; width: ${rect.width}px; height: ${rect.height}px`;
}
