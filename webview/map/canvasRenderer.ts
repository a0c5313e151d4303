import { TILE_SIZE } from '../../shared/protocol/engine';
import { dimLost, scaleMass, toCss, type Rgb } from '../draw/colour';
import type { MapFrame, MapRenderer } from './renderer';
import type { LoadedTile } from './tiles';

interface Painted {
  /** What the colours were made from. */
  look: string;
  image: HTMLCanvasElement;
}

/** The same picture without WebGL2: each tile painted once into a small canvas, then scaled. */
export function createCanvasRenderer(canvas: HTMLCanvasElement): MapRenderer | null {
  const context = canvas.getContext('2d');
  if (!context) return null;
  const painted = new Map<string, Painted>();

  return {
    kind: 'canvas2d',
    draw(frame: MapFrame) {
      canvas.width = frame.width;
      canvas.height = frame.height;
      context.fillStyle = toCss(frame.background);
      context.fillRect(0, 0, frame.width, frame.height);
      context.imageSmoothingEnabled = false;
      const look = [
        frame.largest,
        frame.scale,
        frame.overlay,
        frame.background,
        frame.lut.slice(508, 511),
      ].join();
      for (const { tile, x, y, cell } of frame.tiles) {
        let picture = painted.get(tile.key);
        if (picture?.look !== look) {
          picture = { look, image: paint(tile, frame) };
          painted.set(tile.key, picture);
        }
        context.drawImage(picture.image, x, y, tile.tile.columns * cell, tile.tile.rows * cell);
      }
      if (frame.overlay) hatchLost(context, frame);
    },
    forget(key: string) {
      painted.delete(key);
    },
    dispose() {
      painted.clear();
    },
  };
}

function hidden(tile: LoadedTile, row: number, column: number, frame: MapFrame): boolean {
  const side = 2 ** tile.level;
  const key = (tile.column * TILE_SIZE + column) * side;
  return frame.causal && key > (tile.row * TILE_SIZE + row + 1) * side - 1 + frame.offset;
}

/** One pixel per cell. */
function paint(tile: LoadedTile, frame: MapFrame): HTMLCanvasElement {
  const { rows, columns, mass, kept } = tile.tile;
  const image = document.createElement('canvas');
  image.width = columns;
  image.height = rows;
  const pixels = new ImageData(columns, rows);
  for (let i = 0; i < mass.length; i++) {
    const t = scaleMass(mass[i]!, frame.largest, frame.scale);
    const c = Math.round(t * 255) * 4;
    let colour: Rgb = [frame.lut[c]!, frame.lut[c + 1]!, frame.lut[c + 2]!];
    if (hidden(tile, Math.floor(i / columns), i % columns, frame)) colour = frame.background;
    else if (frame.overlay && kept) colour = dimLost(colour, frame.background, kept[i]!);
    pixels.data.set([...colour.map(Math.round), 255], i * 4);
  }
  image.getContext('2d')!.putImageData(pixels, 0, 0);
  return image;
}

/** Stripes over the cells that are dropped. */
function hatchLost(context: CanvasRenderingContext2D, frame: MapFrame): void {
  const step = 6 * frame.pixelRatio;
  context.save();
  context.beginPath();
  for (const { tile, x, y, cell } of frame.tiles) {
    if (cell < 3 || !tile.tile.kept) continue;
    tile.tile.kept.forEach((kept, i) => {
      const row = Math.floor(i / tile.tile.columns);
      const column = i % tile.tile.columns;
      if (kept < 0.5 && !hidden(tile, row, column, frame))
        context.rect(x + column * cell, y + row * cell, cell, cell);
    });
  }
  context.clip();
  context.strokeStyle = toCss(frame.hatch, 0.35);
  context.lineWidth = frame.pixelRatio;
  context.beginPath();
  for (let x = 0; x < frame.width + frame.height; x += step) {
    context.moveTo(x, 0);
    context.lineTo(x - frame.height, frame.height);
  }
  context.stroke();
  context.restore();
}
