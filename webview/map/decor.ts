import type { TokenTable } from '../../shared/protocol/engine';
import { scaleMass, toCss } from '../draw/colour';
import { count, percent, tokenLabel } from '../../shared/numbers';
import type { Theme } from '../draw/theme';
import type { MassScale } from '../../shared/protocol/host';
import { marks, peaks } from './axis';
import { LABEL_SCALE, type Camera, type Crosshair, type Extent, type Frame } from './geometry';
import { t } from '../host/words';

export interface DecorState {
  frame: Frame;
  camera: Camera;
  extent: Extent;
  queryTokens: TokenTable;
  keyTokens: TokenTable;
  crosshair: Crosshair;
  /** The crosshair row's mass over keys, the column's over queries. */
  row: Float32Array | null;
  column: Float32Array | null;
  causal: boolean;
  scale: MassScale;
  theme: Theme;
  /** Part of a plot that is being brushed, in CSS pixels from the map's edge. */
  brush: { side: 'row' | 'column'; from: number; to: number } | null;
}

const FONT = 11;

/** Axes, crosshair and the two side plots, drawn over and around the map. */
export function drawDecor(context: CanvasRenderingContext2D, state: DecorState): void {
  const { frame, theme } = state;
  context.clearRect(0, 0, frame.width, frame.height);
  context.font = `${FONT}px ${theme.font}`;
  context.textBaseline = 'middle';
  const { map } = frame;
  context.strokeStyle = toCss(theme.border);
  context.strokeRect(map.x - 0.5, map.y - 0.5, map.width + 1, map.height + 1);
  drawDiagonal(context, state);
  drawAxes(context, state);
  drawCrosshair(context, state);
  drawPlots(context, state);
  drawBrush(context, state);
}

function drawDiagonal(context: CanvasRenderingContext2D, state: DecorState): void {
  if (!state.causal) return;
  const { camera, extent, frame, theme } = state;
  const { map } = frame;
  const offset = extent.columns - extent.rows;
  const at = (query: number): [number, number] => [
    map.x + (query + offset + 1 - camera.x) * camera.scale,
    map.y + (query - camera.y) * camera.scale,
  ];
  context.save();
  context.beginPath();
  context.rect(map.x, map.y, map.width, map.height);
  context.clip();
  context.strokeStyle = toCss(theme.muted, theme.highContrast ? 0.9 : 0.35);
  context.lineWidth = 1;
  context.beginPath();
  if (camera.scale >= 6) {
    const first = Math.max(0, Math.floor(camera.y));
    const last = Math.min(extent.rows, Math.ceil(camera.y + map.height / camera.scale));
    for (let query = first; query < last; query++) {
      const [x, y] = at(query);
      if (query === first) context.moveTo(x - camera.scale, y);
      context.lineTo(x, y);
      context.lineTo(x, y + camera.scale);
    }
  } else {
    context.moveTo(...at(-1));
    context.lineTo(...at(extent.rows - 1));
  }
  context.stroke();
  context.restore();
}

function drawAxes(context: CanvasRenderingContext2D, state: DecorState): void {
  const { camera, extent, frame, queryTokens, keyTokens, crosshair, theme } = state;
  const { map } = frame;
  const words = camera.scale >= LABEL_SCALE;
  const colour = (token: number, at: number | null) => toCss(token === at ? theme.foreground : theme.muted);

  const rows = marks(camera.y, map.height, camera.scale, extent.rows, words, words ? FONT + 2 : 30);
  context.textAlign = 'right';
  for (const token of rows) {
    context.fillStyle = colour(token, crosshair.query);
    const y = map.y + (token + 0.5 - camera.y) * camera.scale;
    if (y < map.y || y > map.y + map.height) continue;
    const text = words ? tokenLabel(queryTokens.text[token] ?? '', 13) : count(token);
    context.fillText(text, map.x - 6, y, map.x - 8);
  }
  const columns = marks(camera.x, map.width, camera.scale, extent.columns, words, words ? FONT + 2 : 48);
  for (const token of columns) {
    context.fillStyle = colour(token, crosshair.key);
    const x = map.x + (token + 0.5 - camera.x) * camera.scale;
    if (x < map.x || x > map.x + map.width) continue;
    if (words) {
      context.save();
      context.translate(x, map.y - 5);
      context.rotate(-Math.PI / 2);
      context.textAlign = 'left';
      context.fillText(tokenLabel(keyTokens.text[token] ?? '', 9), 0, 0, map.y - 6);
      context.restore();
    } else {
      context.textAlign = 'center';
      context.fillText(count(token), x, map.y - 8);
    }
  }
  context.fillStyle = toCss(theme.muted);
  if (!words) {
    context.textAlign = 'left';
    context.fillText('key →', map.x, map.y - 24);
    context.save();
    // Beside the widest number.
    context.translate(map.x - 6 - context.measureText(count(extent.rows)).width - FONT, map.y);
    context.rotate(-Math.PI / 2);
    context.textAlign = 'right';
    context.fillText('← query', 0, 0);
    context.restore();
  }
}

function drawCrosshair(context: CanvasRenderingContext2D, state: DecorState): void {
  const { camera, crosshair, frame, theme } = state;
  const { map } = frame;
  const side = Math.max(1, camera.scale);
  context.save();
  context.beginPath();
  context.rect(map.x, map.y, map.width, map.height);
  context.clip();
  context.strokeStyle = toCss(theme.focus);
  context.fillStyle = toCss(theme.focus, 0.18);
  context.lineWidth = crosshair.pinned ? 2 : 1;
  if (crosshair.query !== null) {
    const y = map.y + (crosshair.query - camera.y) * camera.scale;
    if (side < 5) line(context, map.x, y + side / 2, map.x + map.width, y + side / 2);
    else context.strokeRect(map.x - 4, y, map.width + 8, side);
  }
  if (crosshair.key !== null) {
    const x = map.x + (crosshair.key - camera.x) * camera.scale;
    context.lineWidth = 1;
    if (side < 5) line(context, x + side / 2, map.y, x + side / 2, map.y + map.height);
    else context.strokeRect(x, map.y - 4, side, map.height + 8);
  }
  context.restore();
}

function line(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function drawPlots(context: CanvasRenderingContext2D, state: DecorState): void {
  const { camera, frame, row, column, theme, crosshair } = state;
  const { map, plot } = frame;
  if (!plot) return;
  const length = plot - 20;
  const bottom = map.y + map.height + 4;
  const right = map.x + map.width + 4;
  context.fillStyle = toCss(theme.focus, 0.85);
  const draw = (
    values: Float32Array,
    from: number,
    pixels: number,
    bar: (at: number, size: number) => void,
  ) => {
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    if (most <= 0) return most;
    peaks(values, from, camera.scale, pixels).forEach((v, px) => {
      if (v > 0) bar(px, Math.max(0.5, scaleMass(v, most, state.scale) * length));
    });
    return most;
  };
  let rowMost = 0;
  let columnMost = 0;
  if (row && crosshair.query !== null) {
    rowMost = draw(row, camera.x, map.width, (px, size) => context.fillRect(map.x + px, bottom, 1, size));
  }
  if (column && crosshair.key !== null) {
    columnMost = draw(column, camera.y, map.height, (px, size) =>
      context.fillRect(right, map.y + px, size, 1),
    );
  }
  context.fillStyle = toCss(theme.muted);
  context.textAlign = 'left';
  context.fillText(
    rowMost
      ? t('where query {0} looks, up to {1}', crosshair.query ?? '', percent(rowMost))
      : t('point at a row: where it looks'),
    map.x,
    bottom + length + 8,
  );
  context.save();
  context.translate(right + length + 8, map.y);
  context.rotate(Math.PI / 2);
  context.fillText(
    columnMost
      ? t('who looks at key {0}, up to {1}', crosshair.key ?? '', percent(columnMost))
      : t('point at a column: who looks at it'),
    0,
    0,
  );
  context.restore();
}

function drawBrush(context: CanvasRenderingContext2D, state: DecorState): void {
  const { brush, frame, theme } = state;
  if (!brush) return;
  const { map, plot } = frame;
  const [from, to] = [Math.min(brush.from, brush.to), Math.max(brush.from, brush.to)];
  context.fillStyle = toCss(theme.focus, 0.25);
  if (brush.side === 'row') context.fillRect(map.x + from, map.y + map.height + 2, to - from, plot - 14);
  else context.fillRect(map.x + map.width + 2, map.y + from, plot - 14, to - from);
}
