/** Maps as pictures: grey levels, the square root of the mass of each cell. */
import type { Engine } from '../engine';
import { greyPng } from '../export/png';
import {
  sidesOf,
  TILE_SIZE,
  type AnalysisSummary,
  type BucketMapParams,
  type HeadRef,
  type Setting,
} from '../../shared/protocol/engine';

/** Width and height of a map at most, in cells. */
const MOST_CELLS = 2048;

export interface PicturedMap extends HeadRef {
  byValue: boolean;
  /** Only what it keeps. */
  mechanism?: Setting;
}

/** The head's map, the heaviest mass of each cell; `tell`: of a long text, that not all rows were read. */
export async function mapPicture(
  engine: Engine,
  { byValue, mechanism, ...head }: PicturedMap,
  summary: AnalysisSummary,
  signal: AbortSignal,
  tell: (note: string) => void,
): Promise<Buffer> {
  const { queries, keys } = lengths(summary, head.core);
  const level = Math.max(0, Math.ceil(Math.log2(Math.max(queries, keys) / MOST_CELLS)));
  const [height, width] = [Math.ceil(queries / 2 ** level), Math.ceil(keys / 2 ** level)];
  const picture = new Picture(width, height);
  for (let row = 0; row < height / TILE_SIZE; row++)
    for (let column = 0; column < width / TILE_SIZE; column++) {
      const asked = { ...head, level, row, column, byValue, mechanism, reduce: 'max' as const };
      const { columns, mass, kept, rowsRead } = await engine.request('analysis/tile', asked, signal);
      if (row + column === 0 && rowsRead !== undefined)
        tell(`each pixel shows ${rowsRead} sampled rows of its ${2 ** level}`);
      for (let at = 0; at < mass.length; at++) {
        const [x, y] = [column * TILE_SIZE + (at % columns), row * TILE_SIZE + Math.floor(at / columns)];
        picture.set(x, y, mass[at]! * (kept?.[at] ?? 1));
      }
    }
  return picture.png();
}

/** The map with queries and keys sorted by their buckets. */
export async function bucketPicture(
  engine: Engine,
  asked: Omit<BucketMapParams, 'size'>,
  summary: AnalysisSummary,
  signal: AbortSignal,
): Promise<Buffer> {
  const { queries, keys } = lengths(summary, asked.core);
  const size = Math.min(MOST_CELLS, Math.max(queries, keys));
  const { rows, columns, mass } = await engine.request('analysis/bucketMap', { ...asked, size }, signal);
  const picture = new Picture(columns, rows);
  mass.forEach((value, at) => picture.set(at % columns, Math.floor(at / columns), value));
  return picture.png();
}

/** Of a core: its queries and keys. */
function lengths(
  { cores, tokens, target }: AnalysisSummary,
  core: number,
): { queries: number; keys: number } {
  const kind = cores.find(({ info }) => info.core === core)?.info.kind;
  const sides = kind ? sidesOf(kind) : { queries: 'text', keys: 'text' };
  const of = (side: string) => (side === 'target' && target ? target.tokens : tokens).ids.length;
  return { queries: of(sides.queries), keys: of(sides.keys) };
}

class Picture {
  private readonly pixels: Uint8Array;

  constructor(
    private readonly width: number,
    private readonly height: number,
  ) {
    this.pixels = new Uint8Array(width * height);
  }

  set(x: number, y: number, mass: number): void {
    this.pixels[y * this.width + x] = Math.round(255 * Math.sqrt(Math.min(1, mass)));
  }

  png(): Buffer {
    return greyPng(this.width, this.height, this.pixels);
  }
}
