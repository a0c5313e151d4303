import type { Lut, Rgb } from '../draw/colour';
import type { MassScale } from '../../shared/protocol/host';
import type { PlacedTile } from './tiles';

/** Everything that one picture of the map needs. */
export interface MapFrame {
  width: number;
  height: number;
  /** In painter's order: coarse first, so that finer ones cover them. */
  tiles: PlacedTile[];
  lut: Lut;
  background: Rgb;
  hatch: Rgb;
  /** Mass at the end of the colour map. */
  largest: number;
  scale: MassScale;
  /** Dim and hatch what the mechanism drops. */
  overlay: boolean;
  causal: boolean;
  /** Keys before the first query: keys - queries. */
  offset: number;
  pixelRatio: number;
}

/** Draws tiles on one canvas; two kinds, the same picture. */
export interface MapRenderer {
  readonly kind: 'webgl2' | 'canvas2d';
  draw(frame: MapFrame): void;
  /** The tile will not be drawn again. */
  forget(key: string): void;
  dispose(): void;
}
