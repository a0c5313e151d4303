import type { Thumbnail } from '../../shared/protocol/engine';
import { toCss } from '../draw/colour';
import type { Theme } from '../draw/theme';
import { thumbnailPixels } from '../ui/thumb';
import type { Camera, Extent, Size } from './geometry';

/** The whole head, small, with a frame where the map stands. */
export function drawMinimap(
  canvas: HTMLCanvasElement,
  thumbnail: Thumbnail,
  camera: Camera,
  extent: Extent,
  map: Size,
  theme: Theme,
): void {
  const { size } = thumbnail;
  const picture = document.createElement('canvas');
  picture.width = picture.height = size;
  picture
    .getContext('2d')!
    .putImageData(new ImageData(thumbnailPixels(thumbnail, theme.sequential), size, size), 0, 0);
  const context = canvas.getContext('2d')!;
  const { width, height } = canvas;
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, width, height);
  context.strokeStyle = toCss(theme.focus);
  context.lineWidth = 2;
  const x = (camera.x / extent.columns) * width;
  const y = (camera.y / extent.rows) * height;
  const w = (map.width / camera.scale / extent.columns) * width;
  const h = (map.height / camera.scale / extent.rows) * height;
  context.strokeRect(x, y, Math.max(8, Math.min(w, width)), Math.max(8, Math.min(h, height)));
}
