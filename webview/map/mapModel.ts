import { TILE_SIZE } from '../../shared/protocol/engine';
import { niceCeiling } from '../draw/colour';
import {
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
  type Crosshair,
  type Extent,
  type Frame,
  type TileAddress,
} from './geometry';
import type { LoadedTile, PlacedTile } from './tiles';

export interface Pair {
  query: number;
  key: number;
}

/** What the map is of and how much room it has, as the component knows it at the moment. */
export interface MapSetting {
  /** Of the analysis. */
  id: string;
  extent: Extent;
  /** Of the whole component, in CSS pixels. */
  width: number;
  height: number;
  pixelRatio: number;
  causal: boolean;
  /** The finest level that there is: an engine has all, a report has some. */
  finest: number;
  /** Whether the queries are of the analysed text: only its tokens are selected for everyone. */
  shared: boolean;
  /** The token that is selected for everyone, and the one that is previewed. */
  selected: number | null;
  previewed: number | null;
}

type Drag =
  | { kind: 'pan'; x: number; y: number; camera: Camera; moved: boolean }
  | { kind: 'brush'; side: 'row' | 'column'; from: number; to: number };

/** Where the map stands, what is under its crosshair, and which tiles it needs. Knows no page: points are CSS pixels of the map. */
export class MapModel {
  camera: Camera | null = null;
  /** The pair under the pointer. */
  hover: Pair | null = null;
  private drag: Drag | null = null;
  private pinnedKey: number | null = null;
  /** On a text whose tokens are not selected for everyone. */
  private pinnedQuery: number | null = null;
  private movedQuery: number | null = null;
  private stoodOn = '';
  private now: MapSetting = {
    id: '',
    extent: { rows: 1, columns: 1 },
    width: 0,
    height: 0,
    pixelRatio: 1,
    causal: false,
    finest: 0,
    shared: true,
    selected: null,
    previewed: null,
  };

  get setting(): MapSetting {
    return this.now;
  }

  /** Follows the component. `remembered`: where the map stood when it was last open (`place`). */
  follow(setting: MapSetting, remembered: string): void {
    this.now = setting;
    if (!setting.width || !setting.height) return;
    const { extent, frame } = this;
    // A new text starts with the whole map; another head or mechanism keeps the place for comparison.
    if (!this.camera || this.stoodOn !== setting.id)
      this.camera = placed(remembered, extent) ?? fit(extent, frame.map);
    this.camera = clampCamera(this.camera, extent, frame.map);
    this.stoodOn = setting.id;
  }

  private get extent(): Extent {
    return this.now.extent;
  }

  get frame(): Frame {
    return frameOf(this.now.width, this.now.height, this.extent);
  }

  /** Whether less than the whole map is in sight, so that a small one helps. */
  get zoomed(): boolean {
    return this.camera !== null && this.camera.scale > fitScale(this.extent, this.frame.map) * 1.3;
  }

  /** Where the map stands, to be remembered; empty = the whole map is in sight. */
  get place(): string {
    const { camera, extent } = this;
    if (!camera || camera.scale <= fitScale(extent, this.frame.map) * 1.001) return '';
    const { x, y, scale } = camera;
    return [extent.columns, extent.rows, x.toFixed(2), y.toFixed(2), scale.toFixed(4)].join(' ');
  }

  get crosshair(): Crosshair {
    const { shared, selected, previewed, extent } = this.now;
    const pinned = shared ? selected : this.pinnedQuery;
    // A token that was pinned on a longer text is not of this one.
    const token = pinned !== null && pinned < extent.rows ? pinned : null;
    const preview = shared ? previewed : this.movedQuery;
    if (this.hover) return { ...this.hover, pinned: token === this.hover.query };
    if (preview !== null && preview < extent.rows) return { query: preview, key: null, pinned: false };
    return { query: token, key: token === null ? null : this.pinnedKey, pinned: token !== null };
  }

  // -------------------------------------------------------------- moving

  zoom(factor: number, px?: number, py?: number): void {
    if (!this.camera) return;
    const { map } = this.frame;
    this.camera = zoomAt(this.camera, factor, px ?? map.width / 2, py ?? map.height / 2, this.extent, map);
  }

  /** By CSS pixels. */
  scroll(dx: number, dy: number): void {
    if (!this.camera) return;
    const { x, y, scale } = this.camera;
    this.move({ x: x + dx / scale, y: y + dy / scale, scale });
  }

  showAll(): void {
    this.camera = fit(this.extent, this.frame.map);
  }

  /** Brings a pair into sight; a side on which it is in sight stays. */
  showPair({ query, key }: Pair): void {
    if (!this.camera) return;
    const { x, y, scale } = this.camera;
    const { map } = this.frame;
    const follow = (token: number, from: number, shown: number) =>
      token >= from && token + 1 <= from + shown ? from : token + 0.5 - shown / 2;
    this.move({ x: follow(key, x, map.width / scale), y: follow(query, y, map.height / scale), scale });
  }

  private move(camera: Camera): void {
    this.camera = clampCamera(camera, this.extent, this.frame.map);
  }

  /** The query before or after the one under the crosshair, brought into sight. */
  moveQuery(step: number): number {
    const { rows } = this.extent;
    const from = this.crosshair.query ?? (step > 0 ? -1 : rows);
    const query = Math.max(0, Math.min(rows - 1, from + step));
    this.hover = null;
    this.movedQuery = query;
    if (this.camera) this.camera = revealRow(this.camera, query, this.extent, this.frame.map);
    return query;
  }

  // -------------------------------------------------------------- pointing

  pairAt(px: number, py: number): Pair | null {
    const { map } = this.frame;
    const inside = px >= 0 && py >= 0 && px < map.width && py < map.height;
    return inside && this.camera ? pairAt(this.camera, px, py, this.extent) : null;
  }

  /** The pointer is over a point; true when the pair under it is another one. */
  point(px: number, py: number): boolean {
    const pair = this.pairAt(px, py);
    if (pair?.query === this.hover?.query && pair?.key === this.hover?.key) return false;
    this.hover = pair;
    return true;
  }

  /** What is being dragged over in one of the side plots. */
  get brush(): Extract<Drag, { kind: 'brush' }> | null {
    return this.drag?.kind === 'brush' ? this.drag : null;
  }

  get dragging(): boolean {
    return this.drag !== null;
  }

  /** Begins to move the map, or to brush the plot below or at its right. */
  press(px: number, py: number): void {
    const { camera } = this;
    const { map } = this.frame;
    if (!camera) return;
    if (py > map.height && px >= 0) this.drag = { kind: 'brush', side: 'row', from: px, to: px };
    else if (px > map.width && py >= 0) this.drag = { kind: 'brush', side: 'column', from: py, to: py };
    else this.drag = { kind: 'pan', x: px, y: py, camera, moved: false };
  }

  dragTo(px: number, py: number): void {
    const { drag } = this;
    if (drag?.kind === 'brush') drag.to = drag.side === 'row' ? px : py;
    if (drag?.kind !== 'pan') return;
    const [dx, dy] = [px - drag.x, py - drag.y];
    drag.moved ||= Math.hypot(dx, dy) > 4;
    const { x, y, scale } = drag.camera;
    if (drag.moved) this.move({ x: x - dx / scale, y: y - dy / scale, scale });
  }

  /** Ends it. A press that moved nothing is a click: then the query that it pins. */
  release(px: number, py: number): number | null {
    const { drag, camera } = this;
    this.drag = null;
    if (!drag || !camera) return null;
    if (drag.kind === 'pan') return drag.moved ? null : this.click(camera, px, py);
    const [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    if (to - from > 3) this.camera = this.brushed(camera, drag.side, from, to);
    return null;
  }

  private click(camera: Camera, px: number, py: number): number | null {
    const { map } = this.frame;
    // A click beside the map, on a label, pins that row.
    const pair = pairAt(camera, Math.max(0, Math.min(px, map.width - 1)), py, this.extent);
    if (!pair) return null;
    this.pinnedKey = px >= 0 && px < map.width ? pair.key : null;
    return this.pin(pair.query);
  }

  pin(query: number): number {
    this.pinnedQuery = query;
    return query;
  }

  private brushed(camera: Camera, side: 'row' | 'column', from: number, to: number): Camera {
    const { query, key } = this.crosshair;
    const { map } = this.frame;
    const { x, y, scale } = camera;
    const tokens = (at: number) => (side === 'row' ? x : y) + at / scale;
    return side === 'row'
      ? showColumns(tokens(from), tokens(to), query ?? y + map.height / scale / 2, this.extent, map)
      : showRows(tokens(from), tokens(to), key ?? x + map.width / scale / 2, this.extent, map);
  }

  // -------------------------------------------------------------- tiles

  /** As fine as the screen shows it, or as there is. */
  private level(camera: Camera): number {
    return Math.max(levelFor(camera, this.now.pixelRatio), this.now.finest);
  }

  /** The whole map first, once; then what is in sight. */
  wanted(): TileAddress[] {
    const { camera, extent } = this;
    if (!camera) return [];
    const [level, top] = [this.level(camera), topLevel(extent)];
    const fine = tilesInSight(camera, Math.min(level, top), extent, this.frame.map, this.now.causal);
    return level >= top ? fine : [{ level: top, row: 0, column: 0 }, ...fine];
  }

  /** Those in sight, coarse to fine, with their place in device pixels; finer than needed ones are left out. */
  placed(tiles: readonly LoadedTile[]): PlacedTile[] {
    const { camera, extent } = this;
    if (!camera) return [];
    const { map } = this.frame;
    const level = Math.min(this.level(camera), topLevel(extent));
    const scale = camera.scale * this.now.pixelRatio;
    const inSight = (tile: LoadedTile) => {
      const span = TILE_SIZE * 2 ** tile.level;
      return (
        tile.column * span < camera.x + map.width / camera.scale &&
        (tile.column + 1) * span > camera.x &&
        tile.row * span < camera.y + map.height / camera.scale &&
        (tile.row + 1) * span > camera.y
      );
    };
    return tiles
      .filter(tile => tile.level >= level && inSight(tile))
      .map(tile => {
        const cell = 2 ** tile.level * scale;
        return {
          tile,
          x: tile.column * TILE_SIZE * cell - camera.x * scale,
          y: tile.row * TILE_SIZE * cell - camera.y * scale,
          cell,
        };
      });
  }

  /** The mass at the end of the colours: with maxima every level has the same largest, with means each its own. */
  largest(tiles: readonly LoadedTile[], reduce: 'max' | 'mean'): number | null {
    if (!tiles.length) return null;
    const finest = Math.min(...tiles.map(t => t.level));
    const level = this.camera ? Math.max(finest, this.level(this.camera)) : finest;
    const counted = reduce === 'max' ? tiles : tiles.filter(t => t.level <= level);
    return niceCeiling(Math.max(...(counted.length ? counted : tiles).map(t => t.largest)));
  }
}

/** A place that was remembered, if that was on a text of the same length. */
function placed(remembered: string, extent: Extent): Camera | null {
  const [columns, rows, x, y, scale] = remembered.split(' ').map(Number);
  const same = columns === extent.columns && rows === extent.rows;
  return same && scale ? { x: x!, y: y!, scale } : null;
}

const GUTTER = { left: 92, top: 60, plot: 84 };

/** Where the map stands in its component: axes at the left and above, plots at the right and below where there is room. */
export function frameOf(width: number, height: number, { rows, columns }: Extent): Frame {
  const narrow = width < 460;
  const plot = narrow ? 0 : GUTTER.plot;
  const left = narrow ? 48 : GUTTER.left;
  const room = {
    width: Math.max(40, width - left - plot - 6),
    height: Math.max(40, height - GUTTER.top - plot - 6),
  };
  // As square as the text is: beside a square map there is room for words.
  const map = {
    width: Math.min(room.width, Math.max(room.height * 0.75, room.height * (columns / rows))),
    height: Math.min(room.height, Math.max(room.width * 0.75, room.width * (rows / columns))),
  };
  return { width, height, plot, map: { x: left, y: GUTTER.top, ...map } };
}
