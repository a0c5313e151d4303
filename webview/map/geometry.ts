import { TILE_SIZE } from '../../shared/protocol/engine';

/** Where the map is looked at: its top-left corner in tokens, and CSS pixels per token (the same on both axes). */
export interface Camera {
  x: number;
  y: number;
  scale: number;
}

export interface Extent {
  /** Queries (rows) and keys (columns). */
  rows: number;
  columns: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Where things stand in the component, in CSS pixels. */
export interface Frame {
  width: number;
  height: number;
  /** The map itself. */
  map: { x: number; y: number; width: number; height: number };
  /** Received and given attention: to the right and below. */
  plot: number;
}

export interface Crosshair {
  query: number | null;
  key: number | null;
  pinned: boolean;
}

export interface TileAddress {
  level: number;
  row: number;
  column: number;
}

/** Largest size of one pair on screen. */
export const MAX_SCALE = 48;

/** From this size on, every token is written on the axes. */
export const LABEL_SCALE = 12;

export function fitScale(extent: Extent, size: Size): number {
  return Math.min(size.width / extent.columns, size.height / extent.rows, MAX_SCALE);
}

export function fit(extent: Extent, size: Size): Camera {
  return { x: 0, y: 0, scale: fitScale(extent, size) };
}

/** Keeps the map in sight: no smaller than fitting, no further than its edges. */
export function clampCamera(camera: Camera, extent: Extent, size: Size): Camera {
  const least = fitScale(extent, size);
  const scale = Math.max(least, Math.min(MAX_SCALE, camera.scale));
  const clamp = (at: number, total: number, shown: number) =>
    Math.max(0, Math.min(at, total - shown / scale));
  return {
    x: clamp(camera.x, extent.columns, size.width),
    y: clamp(camera.y, extent.rows, size.height),
    scale,
  };
}

/** Zooms by a factor so that the point (px, py), in CSS pixels of the map, stays where it is. */
export function zoomAt(
  camera: Camera,
  factor: number,
  px: number,
  py: number,
  extent: Extent,
  size: Size,
): Camera {
  const scale = Math.max(fitScale(extent, size), Math.min(MAX_SCALE, camera.scale * factor));
  const x = camera.x + px / camera.scale - px / scale;
  const y = camera.y + py / camera.scale - py / scale;
  return clampCamera({ x, y, scale }, extent, size);
}

/** Shows keys `from` to `to` (exclusive) over the whole width, with `row` in the middle where there is room. */
export function showColumns(from: number, to: number, row: number, extent: Extent, size: Size): Camera {
  const scale = Math.min(MAX_SCALE, size.width / Math.max(1, to - from));
  return clampCamera({ x: from, y: row - size.height / scale / 2, scale }, extent, size);
}

export function showRows(from: number, to: number, column: number, extent: Extent, size: Size): Camera {
  const scale = Math.min(MAX_SCALE, size.height / Math.max(1, to - from));
  return clampCamera({ x: column - size.width / scale / 2, y: from, scale }, extent, size);
}

/** Moves as little as needed for a row to be in sight. */
export function revealRow(camera: Camera, row: number, extent: Extent, size: Size): Camera {
  const shown = size.height / camera.scale;
  const y = row < camera.y ? row : row + 1 > camera.y + shown ? row + 1 - shown : camera.y;
  return clampCamera({ ...camera, y }, extent, size);
}

/** The finest level whose cells are at least one device pixel wide. */
export function levelFor(camera: Camera, pixelRatio: number): number {
  return Math.max(0, Math.ceil(-Math.log2(camera.scale * pixelRatio) - 1e-9));
}

/** The level at which the whole map is one tile. */
export function topLevel(extent: Extent): number {
  return Math.max(0, Math.ceil(Math.log2(Math.max(extent.rows, extent.columns) / TILE_SIZE)));
}

/** Tokens along one side of a tile. */
export function tileTokens(level: number): number {
  return TILE_SIZE * 2 ** level;
}

/** Tiles in sight at a level, those nearest to the middle first; wholly hidden ones of a causal map are left out. */
export function tilesInSight(
  camera: Camera,
  level: number,
  extent: Extent,
  size: Size,
  causal: boolean,
): TileAddress[] {
  const span = tileTokens(level);
  const range = (at: number, shown: number, total: number) => {
    const first = Math.max(0, Math.floor(at / span));
    const last = Math.min(Math.ceil(total / span), Math.ceil((at + shown / camera.scale) / span)) - 1;
    return { first, last };
  };
  const rows = range(camera.y, size.height, extent.rows);
  const columns = range(camera.x, size.width, extent.columns);
  const offset = extent.columns - extent.rows;
  const tiles: TileAddress[] = [];
  for (let row = rows.first; row <= rows.last; row++) {
    for (let column = columns.first; column <= columns.last; column++) {
      if (causal && column * span > Math.min(extent.rows, (row + 1) * span) - 1 + offset) continue;
      tiles.push({ level, row, column });
    }
  }
  const middle = {
    row: (camera.y + size.height / camera.scale / 2) / span - 0.5,
    column: (camera.x + size.width / camera.scale / 2) / span - 0.5,
  };
  const away = (t: TileAddress) => Math.hypot(t.row - middle.row, t.column - middle.column);
  return tiles.sort((a, b) => away(a) - away(b));
}

/** The pair under a point of the map, or null beside it. */
export function pairAt(
  camera: Camera,
  px: number,
  py: number,
  extent: Extent,
): { query: number; key: number } | null {
  const key = Math.floor(camera.x + px / camera.scale);
  const query = Math.floor(camera.y + py / camera.scale);
  return key >= 0 && query >= 0 && key < extent.columns && query < extent.rows ? { query, key } : null;
}
