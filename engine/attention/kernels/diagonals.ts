import { dependsOnPair } from './blocked';
import type { CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import { addOpaque, BATCH_ELEMENTS, MASKED, type OffsetTable, type Outputs, type Tiles } from './tiles';

/** Queries of a tile. Each diagonal takes as many keys, so few where diagonals stand alone and more along a wide run of them. */
const ALONE = 8;
const IN_A_RUN = 32;
/** Diagonals of a run that is wide. */
const WIDE = 64;

/** Neighbouring distances; those between that are not kept are masked. */
interface Run {
  near: number;
  far: number;
}

/**
 * Adds the pairs at these distances (position - key, ascending, none negative) as far as the model's mask shows them; returns
 * their number. Tiles away from the text's beginning have one mask, since it depends on distances only.
 */
export async function attendDiagonals(
  input: CoreInput,
  head: number,
  distances: Int32Array,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<number> {
  const { table, base } = offsets;
  const shift = input.keys - input.queries;
  const shown = distances.filter(d => d < input.keys && table[base - d] !== MASKED);
  const biasOf = new Float32Array(input.keys).fill(MASKED);
  for (const d of shown) biasOf[d] = table[base - d]!;
  const runs = runsOf(shown, ALONE);
  const wide = ({ near, far }: Run) => far - near >= WIDE;
  await attendRuns(input, head, runs.filter(wide), IN_A_RUN, biasOf, outputs, context);
  await attendRuns(input, head, runs.filter(run => !wide(run)), ALONE, biasOf, outputs, context); // prettier-ignore
  return shown.reduce((pairs, d) => pairs + input.keys - Math.max(d, shift), 0);
}

/** Distances less than `gap` apart go together. */
function runsOf(distances: Int32Array, gap: number): Run[] {
  const runs: Run[] = [];
  for (const distance of distances) {
    const last = runs.at(-1);
    if (last && distance - last.far < gap) last.far = distance;
    else runs.push({ near: distance, far: distance });
  }
  return runs;
}

/** `biasOf`: of each distance, MASKED = not kept. */
async function attendRuns(
  input: CoreInput,
  head: number,
  runs: readonly Run[],
  rows: number,
  biasOf: Float32Array,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const { queries, keys } = input;
  const shift = keys - queries;
  const own = dependsOnPair(input.rule);
  const begun = (from: number) => runs.filter(({ near }) => near <= from + shift + rows - 1);
  for (let from = 0; from < queries;) {
    const here = begun(from);
    if (here.length === 0) {
      from += rows;
      continue;
    }
    const columns = here.reduce((sum, { near, far }) => sum + rows + far - near, 0);
    const most = Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
    const isWhole = (at: number) =>
      at + rows <= queries && here.every(({ far }) => far <= at + shift) && begun(at).length === here.length;
    let count = 1;
    const whole = !own && isWhole(from);
    while (whole && count < most && isWhole(from + count * rows)) count++;
    const tiles = tilesOf(input, head, here, { from, count, rows, columns }, biasOf);
    if (!whole) {
      hideMissing(tiles);
      addOpaque(input, tiles);
    }
    await outputs.add(tiles, context);
    from += count * rows;
  }
}

interface Place {
  from: number;
  count: number;
  rows: number;
  columns: number;
}

/** Tiles of consecutive queries; queries and keys that are not there are -1. */
function tilesOf(
  { queries, keys }: CoreInput,
  head: number,
  runs: readonly Run[],
  { from, count, rows, columns }: Place,
  biasOf: Float32Array,
): Tiles {
  const shift = keys - queries;
  const bias = new Float32Array(rows * columns).fill(MASKED);
  const found = new Int32Array(count * columns);
  let left = 0;
  for (const { near, far } of runs) {
    const width = rows + far - near;
    for (let r = 0; r < rows; r++) {
      // Column c holds the key at distance r + far - c.
      for (let c = r; c <= r + far - near; c++) bias[r * columns + left + c] = biasOf[r + far - c]!;
    }
    for (let t = 0; t < count; t++) {
      const first = from + t * rows + shift - far;
      for (let c = 0; c < width; c++) {
        const key = first + c;
        found[t * columns + left + c] = key >= 0 && key < keys ? key : -1;
      }
    }
    left += width;
  }
  const own = Int32Array.from({ length: count * rows }, (_, t) => (from + t < queries ? from + t : -1));
  return { head, rows, columns, queries: own, keys: found, bias, scattered: true };
}

/** In a single tile: what is not there is seen by nobody. */
function hideMissing({ rows, columns, keys, bias }: Tiles): void {
  keys.forEach((key, c) => {
    if (key < 0) for (let r = 0; r < rows; r++) bias![r * columns + c] = MASKED;
  });
}
