import { type Analysis } from './analysis';
import { valueShare, valueWeights } from './valueWeights';
import { denseRows } from '../attention/kernels/dense';
import { TILE_SIZE, type Tile, type TileParams } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';

/** One row of tiles: a band of TILE_SIZE cell rows across all columns, at one level. */
interface Band {
  rows: number;
  columns: number;
  max: Float32Array;
  mean: Float32Array;
  kept: Float32Array | null;
}

/** Bands are computed whole, since all tiles of a row need the same softmax rows; the latest are kept. */
export async function tileOf(analysis: Analysis, params: TileParams, signal: AbortSignal): Promise<Tile> {
  const mechanism = params.mechanism ? params.mechanism.key : '';
  const key = [
    'band',
    params.core,
    params.head,
    params.level,
    params.row,
    mechanism,
    params.byValue === true,
  ].join('|');
  return cut(await analysis.shared(key, own => computeBand(analysis, params, own), signal), params);
}

async function computeBand(analysis: Analysis, params: TileParams, signal: AbortSignal): Promise<Band> {
  analysis.head(params.core, params.head);
  const { input } = await analysis.tensors(params.core, signal);
  const attended = params.mechanism
    ? await analysis.attendLocally(params.mechanism, params.core, input, signal)
    : null;
  const weights = params.byValue ? await valueWeights(analysis, params, signal) : null;
  const cell = 2 ** params.level;
  const first = params.row * TILE_SIZE * cell;
  const last = Math.min(input.queries, first + TILE_SIZE * cell);
  const rows = Math.max(0, Math.ceil((last - first) / cell));
  const columns = Math.ceil(input.keys / cell);
  const band: Band = {
    rows,
    columns,
    max: new Float32Array(rows * columns),
    mean: new Float32Array(rows * columns),
    kept: attended ? new Float32Array(rows * columns) : null,
  };
  const step = Math.max(1, Math.min(last - first, Math.floor(2 ** 20 / input.keys)));
  for (let from = first; from < last; from += step) {
    await checkpoint(signal);
    const to = Math.min(last, from + step);
    const mass = await denseRows(input, params.head, from, to, analysis.context(signal));
    for (let i = from; i < to; i++) {
      const at = Math.floor((i - first) / cell) * columns;
      const row = mass.subarray((i - from) * input.keys, (i - from + 1) * input.keys);
      if (weights) row.forEach((value, j) => (row[j] = valueShare(weights, value, i, j)));
      for (let j = 0; j < row.length; j++) {
        const c = at + Math.floor(j / cell);
        band.mean[c]! += row[j]!;
        if (row[j]! > band.max[c]!) band.max[c] = row[j]!;
      }
      if (!attended) continue;
      const kept = attended.row(params.head, i);
      for (let t = 0; t < kept.keys.length; t++) {
        const j = kept.keys[t]!;
        band.kept![at + Math.floor(j / cell)]! += row[j]! * (kept.mask?.[t] ?? 1);
      }
    }
  }
  finish(band, first, last, input.keys, cell);
  return band;
}

/** Sums become the share kept and the mean; cells at the rim hold fewer pairs. */
function finish(band: Band, first: number, last: number, keys: number, cell: number): void {
  for (let r = 0; r < band.rows; r++) {
    const height = Math.min(last, first + (r + 1) * cell) - (first + r * cell);
    for (let c = 0; c < band.columns; c++) {
      const width = Math.min(keys, (c + 1) * cell) - c * cell;
      const at = r * band.columns + c;
      if (band.kept) band.kept[at] = band.mean[at]! > 0 ? Math.min(1, band.kept[at]! / band.mean[at]!) : 0;
      band.mean[at]! /= height * width;
    }
  }
}

function cut(band: Band, params: TileParams): Tile {
  const left = params.column * TILE_SIZE;
  const columns = Math.max(0, Math.min(TILE_SIZE, band.columns - left));
  const slice = (source: Float32Array) => {
    const piece = new Float32Array(band.rows * columns);
    for (let r = 0; r < band.rows; r++) {
      const at = r * band.columns + left;
      piece.set(source.subarray(at, at + columns), r * columns);
    }
    return piece;
  };
  return {
    rows: band.rows,
    columns,
    mass: slice(band[params.reduce]),
    ...(band.kept ? { kept: slice(band.kept) } : {}),
  };
}
