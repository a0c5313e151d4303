import type { Thumbnail, TokenTable } from '../../shared/protocol/engine';
import type { MassScale } from '../../shared/protocol/host';
import type { Theme } from '../draw/theme';
import { createCanvasRenderer } from './canvasRenderer';
import { drawDecor } from './decor';
import { createGlRenderer } from './glRenderer';
import type { MapModel } from './mapModel';
import { drawMinimap } from './minimap';
import type { MapRenderer } from './renderer';
import type { LoadedTile } from './tiles';

/** What is drawn, beside what the model knows. */
export interface MapPicture {
  tiles: readonly LoadedTile[];
  queryTokens: TokenTable;
  keyTokens: TokenTable;
  /** Mass of the crosshair's query over keys, and of its key over queries. */
  row: Float32Array | null;
  column: Float32Array | null;
  thumbnail: Thumbnail | null;
  /** Mass at the end of the colours. */
  largest: number;
  scale: MassScale;
  /** Dim and hatch what a mechanism drops. */
  overlay: boolean;
  theme: Theme;
}

/** The canvases of the page: of the map, of axes and plots over it, and of the small map where there is one. */
export interface MapCanvases {
  map: HTMLCanvasElement;
  over: HTMLCanvasElement;
  mini: HTMLCanvasElement | null;
}

/** Draws the map on its canvases, with WebGL2 until that is lost. */
export class MapDrawing {
  private renderer: MapRenderer | null = null;
  private glWasLost = false;

  constructor(private readonly model: MapModel) {}

  get kind(): string {
    return this.renderer?.kind ?? 'none';
  }

  forget(tile: string): void {
    this.renderer?.forget(tile);
  }

  /** A canvas has one kind of context for life: the next drawing is on a new one. */
  lost(): void {
    this.renderer = null;
    this.glWasLost = true;
  }

  dispose(): void {
    this.renderer?.dispose();
    this.lost();
  }

  draw(canvases: MapCanvases, picture: MapPicture): void {
    const { model } = this;
    const { camera, frame, setting } = model;
    if (!camera) return;
    this.drawTiles(canvases.map, picture);
    const { pixelRatio, extent, causal } = setting;
    const [width, height] = [Math.round(frame.width * pixelRatio), Math.round(frame.height * pixelRatio)];
    const { over } = canvases;
    if (over.width !== width || over.height !== height) {
      over.width = width;
      over.height = height;
    }
    const context = over.getContext('2d')!;
    context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    drawDecor(context, {
      ...picture,
      frame,
      camera,
      extent,
      crosshair: model.crosshair,
      causal,
      brush: model.brush,
    });
    if (canvases.mini && picture.thumbnail)
      drawMinimap(canvases.mini, picture.thumbnail, camera, extent, frame.map, picture.theme);
  }

  private drawTiles(canvas: HTMLCanvasElement, picture: MapPicture): void {
    const { model } = this;
    const { pixelRatio, extent, causal } = model.setting;
    const { map } = model.frame;
    const { theme, tiles, largest, scale, overlay } = picture;
    this.renderer ??= (this.glWasLost ? null : createGlRenderer(canvas)) ?? createCanvasRenderer(canvas);
    this.renderer?.draw({
      width: Math.round(map.width * pixelRatio),
      height: Math.round(map.height * pixelRatio),
      tiles: model.placed(tiles),
      lut: theme.sequential,
      background: theme.background,
      hatch: theme.foreground,
      largest,
      scale,
      overlay,
      causal,
      offset: extent.columns - extent.rows,
      pixelRatio,
    });
  }
}
