import type { Tile } from '../../shared/protocol/engine';
import type { TileAddress } from './geometry';

export interface LoadedTile extends TileAddress {
  key: string;
  tile: Tile;
  /** Largest mass in it. */
  largest: number;
}

/** A tile and where it goes, in device pixels of the canvas. */
export interface PlacedTile {
  tile: LoadedTile;
  x: number;
  y: number;
  /** Side of one cell. */
  cell: number;
}
