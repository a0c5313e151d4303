import { css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { keyed } from 'lit/directives/keyed.js';
import { TILE_SIZE, type MechanismChoice, type TokenTable } from '../../shared/protocol/engine';
import { niceCeiling } from '../draw/colour';
import { headName } from '../model/names';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type HeadId } from '../host/store';
import { Component } from '../ui/component';
import { createCanvasRenderer } from './canvasRenderer';
import { drawDecor, type Frame } from './decor';
import {
  LABEL_SCALE,
  clampCamera,
  fit,
  fitScale,
  levelFor,
  pairAt,
  revealRow,
  showColumns,
  showRows,
  tilesInSight,
  topLevel,
  zoomAt,
  type Camera,
  type Extent,
} from './geometry';
import { createGlRenderer } from './glRenderer';
import { drawMinimap } from './minimap';
import type { MapRenderer } from './renderer';
import { TileLoader, sourceKey, type LoadedTile } from './tileLoader';
import { readout, tilesCsv, twin, type MapWords } from './words';

const GUTTER = { left: 92, top: 60, plot: 84 };

type Drag =
  | { kind: 'pan'; x: number; y: number; camera: Camera; moved: boolean }
  | { kind: 'brush'; side: 'row' | 'column'; from: number; to: number };

/** The zoomable map of one head. Fires `colours` when the end of its colour map changes. */
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
  @property({ attribute: false }) mechanism: MechanismChoice | null = null;
  @property() reduce: 'max' | 'mean' = 'max';
  /** Mass at the end of the colour map. */
  largest = 1;

  @query('.map') private mapCanvas!: HTMLCanvasElement | null;
  @query('.over') private overCanvas!: HTMLCanvasElement | null;
  @query('.mini') private miniCanvas!: HTMLCanvasElement | null;
  @state() private camera: Camera | null = null;
  @state() private hover: { query: number; key: number } | null = null;
  /** Goes up when the canvas has to be replaced: WebGL2 was lost, and a canvas has one kind of context for life. */
  @state() private generation = 0;
  private renderer: MapRenderer | null = null;
  private drag: Drag | null = null;
  private pinnedKey: number | null = null;
  private pinnedQuery: number | null = null;
  private movedQuery: number | null = null;
  private drawnOf = '';
  private scheduled = false;
  private said: string | null = null;
  private readonly loader = new TileLoader(
    () => this.requestUpdate(),
    key => this.renderer?.forget(key),
  );
  private readonly row = new Remote(this, 'analysis/row', 30);
  private readonly column = new Remote(this, 'analysis/row', 30);

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.remembering);
    this.renderer?.dispose();
    this.renderer = null;
    this.loader.setSource(null);
    this.generation++;
  }

  // ------------------------------------------------------------ geometry

  private get extent(): Extent {
    return { rows: this.queryTokens?.ids.length ?? 1, columns: this.keyTokens?.ids.length ?? 1 };
  }

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

  private get frame(): Frame {
    const narrow = this.width < 460;
    const plot = narrow ? 0 : GUTTER.plot;
    const left = narrow ? 48 : GUTTER.left;
    const room = {
      width: Math.max(40, this.width - left - plot - 6),
      height: Math.max(40, this.height - GUTTER.top - plot - 6),
    };
    // As square as the text is: beside a square map there is room for words.
    const { rows, columns } = this.extent;
    const width = Math.min(room.width, Math.max(room.height * 0.75, room.height * (columns / rows)));
    const height = Math.min(room.height, Math.max(room.width * 0.75, room.width * (rows / columns)));
    return { width: this.width, height: this.height, plot, map: { x: left, y: GUTTER.top, width, height } };
  }

  private get pixelRatio(): number {
    return window.devicePixelRatio || 1;
  }

  private move(camera: Camera): void {
    this.camera = clampCamera(camera, this.extent, this.frame.map);
  }

  private zoom(factor: number, px?: number, py?: number): void {
    if (!this.camera) return;
    const { map } = this.frame;
    this.camera = zoomAt(this.camera, factor, px ?? map.width / 2, py ?? map.height / 2, this.extent, map);
  }

  // ------------------------------------------------------------ life

  override willUpdate(): void {
    const { head } = this;
    const id = store.id;
    if (!head || !id || !store.profile(head)) {
      this.loader.setSource(null);
      this.row.want(null);
      this.column.want(null);
      return;
    }
    const source = { id, head, reduce: this.reduce, mechanism: this.mechanism };
    this.loader.setSource(source);
    if (this.width && this.height) {
      // A new text starts with the whole map; another head or mechanism keeps the place for comparison.
      if (!this.camera || this.drawnOf !== id)
        this.camera = this.remembered() ?? fit(this.extent, this.frame.map);
      this.camera = clampCamera(this.camera, this.extent, this.frame.map);
      this.drawnOf = id;
      this.loader.want(this.wanted(this.camera));
      this.remember();
    }
    const { query, key } = this.crosshair;
    this.row.want(query === null ? null : { id, ...head, token: query, direction: 'from' });
    this.column.want(key === null ? null : { id, ...head, token: key, direction: 'to' });
    const largest = this.largestShown();
    if (largest !== this.largest) {
      this.largest = largest;
      queueMicrotask(() => this.dispatchEvent(new Event('colours')));
    }
  }

  /** Where the map stood when this view was last open, if that was on a text of the same length. */
  private remembered(): Camera | null {
    const [columns, rows, x, y, scale] = store.option('head', 'camera', '').split(' ').map(Number);
    const same = columns === this.extent.columns && rows === this.extent.rows;
    return same && scale ? { x: x!, y: y!, scale } : null;
  }

  private remember(): void {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const { camera, extent } = this;
      if (!camera) return;
      const whole = camera.scale <= fitScale(extent, this.frame.map) * 1.001;
      const place = [
        extent.columns,
        extent.rows,
        camera.x.toFixed(2),
        camera.y.toFixed(2),
        camera.scale.toFixed(4),
      ];
      const next = whole ? '' : place.join(' ');
      if (next !== store.option('head', 'camera', '')) store.setOption('head', 'camera', next);
    }, 400);
  }
  private remembering: ReturnType<typeof setTimeout> | undefined;

  /** As fine as the screen shows it, or as a report holds it. */
  private levelOf(camera: Camera): number {
    return Math.max(levelFor(camera, this.pixelRatio), store.report?.level ?? 0);
  }

  /** The whole map first, once; then what is in sight. */
  private wanted(camera: Camera) {
    const { map } = this.frame;
    const level = this.levelOf(camera);
    const top = topLevel(this.extent);
    const fine = tilesInSight(camera, Math.min(level, top), this.extent, map, this.causal);
    return level >= top ? fine : [{ level: top, row: 0, column: 0 }, ...fine];
  }

  /** With maxima every level has the same largest mass; with means each level has its own. */
  private largestShown(): number {
    const tiles = this.loader.tiles();
    if (!tiles.length) return this.largest;
    const finest = Math.min(...tiles.map(t => t.level));
    const level = this.camera ? Math.max(finest, this.levelOf(this.camera)) : finest;
    const counted = this.reduce === 'max' ? tiles : tiles.filter(t => t.level <= level);
    return niceCeiling(Math.max(...(counted.length ? counted : tiles).map(t => t.largest)));
  }

  private get crosshair(): { query: number | null; key: number | null; pinned: boolean } {
    // Only tokens of the analysed text are selected for everyone; those of a decoder's own text are pinned here alone.
    const shared = this.sides.queries === 'text';
    const pinned = shared ? store.selection.token : this.pinnedQuery;
    // A token that was pinned on a longer text is not of this one.
    const token = pinned !== null && pinned < this.extent.rows ? pinned : null;
    const preview = shared ? store.previewToken : this.movedQuery;
    if (this.hover) return { ...this.hover, pinned: token === this.hover.query };
    if (preview !== null && preview < this.extent.rows) return { query: preview, key: null, pinned: false };
    return { query: token, key: token === null ? null : this.pinnedKey, pinned: token !== null };
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const { frame, head } = this;
    const { map } = frame;
    const zoomed = this.camera && head && this.camera.scale > fitScale(this.extent, map) * 1.3;
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
            this.renderer = null;
            this.generation++;
          }}
        ></canvas>`,
      )}
      <canvas
        class="over"
        tabindex="0"
        role="img"
        aria-label=${head ? `Attention map of ${headName(head)}. Plus and minus zoom, Shift and arrows move, square brackets move the query, Enter pins it.` : 'Attention map'}
        aria-describedby="twin"
        .style=${box({ x: 0, y: 0, width: frame.width, height: frame.height })}
        @pointerdown=${this.onDown}
        @pointermove=${this.onMove}
        @pointerup=${this.onUp}
        @pointerleave=${this.onLeave}
        @dblclick=${this.onDouble}
        @wheel=${this.onWheel}
        @keydown=${this.onKey}
      ></canvas>
      ${
        zoomed
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
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  private draw(): void {
    const { mapCanvas, overCanvas, camera, head, frame, extent, causal, pixelRatio } = this;
    const { queryTokens, keyTokens } = this;
    if (!mapCanvas || !overCanvas || !camera || !head || !queryTokens || !keyTokens || !this.isConnected)
      return;
    this.renderer ??=
      (this.generation === 0 ? createGlRenderer(mapCanvas) : null) ?? createCanvasRenderer(mapCanvas);
    const look = theme();
    const { map } = frame;
    this.renderer?.draw({
      width: Math.round(map.width * pixelRatio),
      height: Math.round(map.height * pixelRatio),
      tiles: this.placed(camera),
      lut: look.sequential,
      background: look.background,
      hatch: look.foreground,
      largest: this.largest,
      scale: store.settings.massScale,
      overlay: this.mechanism !== null,
      causal,
      offset: extent.columns - extent.rows,
      pixelRatio,
    });
    const [width, height] = [Math.round(frame.width * pixelRatio), Math.round(frame.height * pixelRatio)];
    if (overCanvas.width !== width || overCanvas.height !== height) {
      overCanvas.width = width;
      overCanvas.height = height;
    }
    const context = overCanvas.getContext('2d')!;
    context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    drawDecor(context, {
      frame,
      camera,
      extent,
      queryTokens,
      keyTokens,
      crosshair: this.crosshair,
      row: this.row.value,
      column: this.column.value,
      causal,
      scale: store.settings.massScale,
      theme: look,
      brush: this.drag?.kind === 'brush' ? this.drag : null,
    });
    const profile = store.profile(head);
    if (this.miniCanvas && profile)
      drawMinimap(this.miniCanvas, profile.thumbnail, camera, extent, map, look);
  }

  /** Loaded tiles in sight, coarse to fine; finer than needed ones are left out. */
  private placed(camera: Camera) {
    const { pixelRatio, frame, extent } = this;
    const level = Math.min(this.levelOf(camera), topLevel(extent));
    const inSight = (tile: LoadedTile) => {
      const span = TILE_SIZE * 2 ** tile.level;
      const { map } = frame;
      return (
        tile.column * span < camera.x + map.width / camera.scale &&
        (tile.column + 1) * span > camera.x &&
        tile.row * span < camera.y + map.height / camera.scale &&
        (tile.row + 1) * span > camera.y
      );
    };
    return this.loader
      .tiles()
      .filter(tile => tile.level >= level && inSight(tile))
      .map(tile => {
        const cell = 2 ** tile.level * camera.scale * pixelRatio;
        return {
          tile,
          x: tile.column * TILE_SIZE * cell - camera.x * camera.scale * pixelRatio,
          y: tile.row * TILE_SIZE * cell - camera.y * camera.scale * pixelRatio,
          cell,
        };
      });
  }

  // ------------------------------------------------------------ words

  private get words(): MapWords {
    const { crosshair, row } = this;
    const known = row.value !== null && row.answers?.token === crosshair.query;
    return {
      queryTokens: this.queryTokens,
      keyTokens: this.keyTokens,
      crosshair,
      causal: this.causal,
      row: known ? row.value : null,
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

  // ------------------------------------------------------------ pointer

  private point(event: MouseEvent): { px: number; py: number } {
    const rect = this.overCanvas!.getBoundingClientRect();
    const { map } = this.frame;
    return { px: event.clientX - rect.x - map.x, py: event.clientY - rect.y - map.y };
  }

  private readonly onDown = (event: PointerEvent) => {
    if (!this.camera || event.button !== 0) return;
    const { px, py } = this.point(event);
    const { map } = this.frame;
    this.overCanvas!.setPointerCapture(event.pointerId);
    if (py > map.height && px >= 0) this.drag = { kind: 'brush', side: 'row', from: px, to: px };
    else if (px > map.width && py >= 0) this.drag = { kind: 'brush', side: 'column', from: py, to: py };
    else this.drag = { kind: 'pan', x: event.clientX, y: event.clientY, camera: this.camera, moved: false };
  };

  private readonly onMove = (event: PointerEvent) => {
    if (!this.camera) return;
    const { px, py } = this.point(event);
    const { drag } = this;
    if (drag?.kind === 'pan') {
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (drag.moved) {
        const { scale } = drag.camera;
        this.move({ x: drag.camera.x - dx / scale, y: drag.camera.y - dy / scale, scale });
      }
      return;
    }
    if (drag?.kind === 'brush') {
      drag.to = drag.side === 'row' ? px : py;
      this.requestUpdate();
      return;
    }
    const { map } = this.frame;
    const inside = px >= 0 && py >= 0 && px < map.width && py < map.height;
    const pair = inside ? pairAt(this.camera, px, py, this.extent) : null;
    if (pair?.query === this.hover?.query && pair?.key === this.hover?.key) return;
    this.hover = pair;
    if (this.sides.queries === 'text') store.preview(pair?.query ?? null);
    this.spoken();
  };

  private readonly onUp = (event: PointerEvent) => {
    const { drag, camera } = this;
    this.drag = null;
    if (!drag || !camera) return;
    if (drag.kind === 'brush') {
      const [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
      if (to - from > 3) this.brushed(drag.side, from, to, camera);
      this.requestUpdate();
    } else if (!drag.moved) {
      const { px, py } = this.point(event);
      const { map } = this.frame;
      // A click beside the map, on a label, pins that row.
      const pair = pairAt(camera, Math.max(0, Math.min(px, map.width - 1)), py, this.extent);
      if (!pair) return;
      this.pinnedKey = px >= 0 && px < map.width ? pair.key : null;
      this.pin(pair.query);
    }
  };

  private pin(query: number): void {
    this.pinnedQuery = query;
    if (this.sides.queries === 'text') store.select({ ...(this.head ?? {}), token: query });
    else this.requestUpdate();
  }

  private brushed(side: 'row' | 'column', from: number, to: number, camera: Camera): void {
    const { query, key } = this.crosshair;
    const { map } = this.frame;
    const start = (side === 'row' ? camera.x : camera.y) + from / camera.scale;
    const end = (side === 'row' ? camera.x : camera.y) + to / camera.scale;
    const middleRow = camera.y + map.height / camera.scale / 2;
    const middleColumn = camera.x + map.width / camera.scale / 2;
    this.camera =
      side === 'row'
        ? showColumns(start, end, query ?? middleRow, this.extent, map)
        : showRows(start, end, key ?? middleColumn, this.extent, map);
  }

  private readonly onLeave = () => {
    if (this.drag || !this.hover) return;
    this.hover = null;
    store.preview(null);
    this.spoken();
  };

  private readonly onDouble = (event: MouseEvent) => {
    const { px, py } = this.point(event);
    const pair = this.camera && pairAt(this.camera, px, py, this.extent);
    if (!pair) return;
    const { queries, keys } = this.sides;
    const tokens = [...(queries === 'text' ? [pair.query] : []), ...(keys === 'text' ? [pair.key] : [])];
    if (tokens.length) store.host.send({ type: 'reveal', tokens });
  };

  private readonly onWheel = (event: WheelEvent) => {
    event.preventDefault();
    if (!this.camera) return;
    const { px, py } = this.point(event);
    if (event.shiftKey || (Math.abs(event.deltaX) > Math.abs(event.deltaY) && !event.ctrlKey)) {
      const step = (event.deltaX || event.deltaY) / this.camera.scale;
      this.move({ ...this.camera, x: this.camera.x + step });
    } else {
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), px, py);
    }
  };

  // ------------------------------------------------------------ keyboard

  private readonly onKey = (event: KeyboardEvent) => {
    const { camera } = this;
    if (!camera) return;
    const step = 80 / camera.scale;
    const pan: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const direction = event.shiftKey ? pan[event.key] : undefined;
    if (direction) this.move({ ...camera, x: camera.x + direction[0], y: camera.y + direction[1] });
    else if (event.key === '+' || event.key === '=') this.zoom(1.5);
    else if (event.key === '-') this.zoom(1 / 1.5);
    else if (event.key === '0') this.camera = fit(this.extent, this.frame.map);
    else if (event.key === '[' || event.key === ']') this.moveQuery(event.key === ']' ? 1 : -1);
    else if (event.key === 'Enter' && this.crosshair.query !== null) this.pin(this.crosshair.query);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  private moveQuery(step: number): void {
    const from = this.crosshair.query ?? (step > 0 ? -1 : this.extent.rows);
    const query = Math.max(0, Math.min(this.extent.rows - 1, from + step));
    this.hover = null;
    this.movedQuery = query;
    if (this.sides.queries === 'text') store.preview(query);
    this.camera = revealRow(this.camera!, query, this.extent, this.frame.map);
    this.spoken();
  }

  /** For the legend and the readout around the map. */
  private spoken(): void {
    this.dispatchEvent(new Event('colours'));
  }

  /** The cells in sight at the level that is drawn. */
  toCsv(): string | null {
    return (
      this.camera &&
      tilesCsv(
        this.words,
        this.placed(this.camera).map(p => p.tile),
        this.reduce,
      )
    );
  }

  /** For tests: which renderer draws, and whether words are on the axes. */
  get drawing(): { renderer: string; words: boolean; source: string } {
    return {
      renderer: this.renderer?.kind ?? 'none',
      words: (this.camera?.scale ?? 0) >= LABEL_SCALE,
      source: this.head
        ? sourceKey({ id: store.id ?? '', head: this.head, reduce: this.reduce, mechanism: this.mechanism })
        : '',
    };
  }
}

function box(rect: { x: number; y: number; width: number; height: number }): string {
  return `left: ${rect.x}px; top: ${rect.y}px; width: ${rect.width}px; height: ${rect.height}px`;
}
