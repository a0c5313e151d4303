import { type Analysis } from './analysis';
import { addToCells, type Cells } from './cellSums';
import { valueNorms } from './valueWeights';
import type { Stretch } from '../attention/core';
import { massesAt, pickRows } from '../attention/kernels/pickedRows';
import type { Attended } from '../attention/mechanism';
import { seededUniform } from '../../shared/random';
import { TILE_SIZE, type Tile, type TileParams } from '../../shared/protocol/engine';

/**
 * Scores that the rows of a tile may take. In texts of up to 8,192 tokens that is all rows at every level; in longer ones some rows of
 * each cell, and all of them as soon as the cells are small enough.
 */
const MOST_SCORES = 2 ** 26;

/** The cells of a tile while rows are added to them; `kept`: sums as well. */
interface Grid extends Cells {
  rows: number;
  columns: number;
  kept: Float32Array | null;
}

/** A tile with both of its reductions. */
interface Made extends Omit<Tile, 'mass'> {
  max: Float32Array;
  mean: Float32Array;
}

/** One tile. What its rows need of all keys is found once for all tiles beside it. */
export async function tileOf(analysis: Analysis, params: TileParams, signal: AbortSignal): Promise<Tile> {
  const { core, head, level, row, column, mechanism, byValue } = params;
  analysis.head(core, head);
  const key = ['tile', core, head, level, row, column, mechanism?.key ?? '', byValue === true].join('|');
  const made = await analysis.shared(key, own => makeTile(analysis, params, own), signal);
  const { max, mean, ...tile } = made;
  return { ...tile, mass: params.reduce === 'max' ? max : mean };
}

async function makeTile(analysis: Analysis, params: TileParams, signal: AbortSignal): Promise<Made> {
  const { core, head, level, row, column, mechanism, byValue } = params;
  const context = analysis.context(signal);
  const attended = mechanism ? await attendedBy(analysis, params, signal) : null;
  const input = await analysis.headTensors(core, head, signal);
  const norms = byValue ? (await valueNorms(analysis, params, signal)).norms : undefined;
  const cell = 2 ** level;
  const [queries, keys] = [spanOf(row, cell, input.queries), spanOf(column, cell, input.keys)];
  const height = Math.min(cell, Math.max(1, Math.floor(MOST_SCORES / (TILE_SIZE * input.keys))));
  const drawn = drawRows(queries, cell, height);
  const picked = await analysis.shared(
    ['rows', core, head, level, row, byValue === true].join('|'),
    own => pickRows(input, 0, drawn, analysis.context(own), norms),
    signal,
  );
  const grid = emptyGrid(queries, keys, cell, attended !== null);
  for await (const { at, query, firstKey, mass } of massesAt(input, 0, picked, keys, context)) {
    if (norms) weigh(mass, norms, firstKey, picked.sums[at]!);
    const first = Math.floor((query - queries.from) / cell) * grid.columns;
    addToCells(grid, first, keys.from, firstKey, mass);
    if (attended) addKept(grid, first, keys.from, attended.row(head, query), firstKey, mass);
  }
  return { ...made(grid, queries, keys, drawn), ...(height < cell && { rowsRead: height }) };
}

async function attendedBy(
  analysis: Analysis,
  { core, mechanism }: TileParams,
  signal: AbortSignal,
): Promise<Attended> {
  const { input } = await analysis.tensors(core, signal);
  return analysis.attendLocally(mechanism!, core, input, signal);
}

/** Queries or keys of the tile at this place. */
function spanOf(place: number, cell: number, total: number): Stretch {
  const side = TILE_SIZE * cell;
  return { from: Math.min(total, place * side), to: Math.min(total, (place + 1) * side) };
}

/** So many queries of each cell, one drawn in each equal part of it. The same in every head and of every text, so that maps can be compared. */
export function drawRows({ from, to }: Stretch, cell: number, height: number): Int32Array {
  const uniform = seededUniform(from + cell);
  const drawn: number[] = [];
  for (let first = from; first < to; first += cell) {
    const all = Math.min(cell, to - first);
    const count = Math.min(height, all);
    for (let part = 0; part < count; part++) {
      const begin = Math.floor((part * all) / count);
      const end = Math.floor(((part + 1) * all) / count);
      drawn.push(first + begin + Math.floor(uniform() * (end - begin)));
    }
  }
  return Int32Array.from(drawn);
}

function emptyGrid(queries: Stretch, keys: Stretch, cell: number, keeps: boolean): Grid {
  const [rows, columns] = [queries, keys].map(({ from, to }) => Math.ceil((to - from) / cell)) as [
    number,
    number,
  ];
  const cells = () => new Float32Array(rows * columns);
  return { rows, columns, cell, max: cells(), sum: cells(), kept: keeps ? cells() : null };
}

/** Masses of a query become its value-weighted shares. */
function weigh(mass: Float32Array, norms: Float32Array, firstKey: number, sum: number): void {
  for (let t = 0; t < mass.length; t++) mass[t] = sum > 0 ? (mass[t]! * norms[firstKey + t]!) / sum : 0;
}

function addKept(
  { kept, cell }: Grid,
  first: number,
  firstOfTile: number,
  { keys, mask }: { keys: Int32Array; mask?: Float64Array },
  firstKey: number,
  mass: Float32Array,
): void {
  for (let t = 0; t < keys.length; t++) {
    const at = keys[t]! - firstKey;
    if (at < 0 || at >= mass.length) continue;
    kept![first + Math.floor((keys[t]! - firstOfTile) / cell)]! += mass[at]! * (mask?.[t] ?? 1);
  }
}

/** Sums become the share kept and the mean; cells at the rim hold fewer pairs. */
function made(grid: Grid, queries: Stretch, keys: Stretch, drawn: Int32Array): Made {
  const { rows, columns, cell, max, sum, kept } = grid;
  const heights = new Int32Array(rows);
  for (const query of drawn) heights[Math.floor((query - queries.from) / cell)]!++;
  for (let at = 0; at < sum.length; at++) {
    const column = at % columns;
    const width = Math.min(cell, keys.to - keys.from - column * cell);
    if (kept) kept[at] = sum[at]! > 0 ? Math.min(1, kept[at]! / sum[at]!) : 0;
    sum[at]! /= heights[Math.floor(at / columns)]! * width;
  }
  return { rows, columns, max, mean: sum, ...(kept && { kept }) };
}
