import { visibleKeys, type CoreInput } from '../core';
import type { AttendContext, Attended } from '../mechanism';
import { hidesByPlace } from './blocked';
import { blockLevels, searchBlocks, type QueryGroup } from './blockTree';
import { sparseRow } from './rows';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  offsetTables,
  Outputs,
  runTiles,
  type OffsetTable,
  type Tiles,
} from './tiles';

export interface BlockSearch {
  /** Keys of a block, and queries that are served together. */
  block: number;
  /** Blocks that are searched for each group of queries. */
  blocks: number;
  /** Blocks before the own one that are always seen. */
  recent: number;
}

/** A group of queries with the keys that it sees: those of the blocks that were found, then its own and recent ones. */
interface Served extends QueryGroup {
  found: Int32Array;
  /** First key that is always seen. */
  first: number;
}

/**
 * Causal attention to the own and recent blocks and to the earlier ones in which a search from coarse to fine expects most
 * mass. `heaviest_key` and `heaviest_mass`, [heads, queries]: the key of a searched block with the largest weight, the text's
 * first key apart; -1 = none.
 */
export async function attendSearched(
  input: CoreInput,
  search: BlockSearch,
  context: AttendContext,
): Promise<Attended> {
  const { heads, queries } = input;
  const { block } = search;
  const outputs = new Outputs(input);
  const tables = offsetTables(input);
  const pairs = new Float64Array(heads);
  const heaviest = { key: new Int32Array(heads * queries).fill(-1), mass: new Float32Array(heads * queries) };
  const chosen: Int32Array[][] = [];
  const groups = groupsOf(input, search);
  for (let head = 0; head < heads; head++) {
    const levels = blockLevels(input, head, block);
    const found = await searchBlocks(input, head, levels, groups, search.blocks, context);
    chosen.push(found);
    const served = groups.map((group, g) => ({ ...group, found: found[g]! }));
    for (const tiles of tilesOf(input, head, served, search, tables(head), pairs)) {
      addOpaque(input, tiles);
      const result = await runTiles(input, tiles, context);
      outputs.merge(tiles, result);
      tiles.queries.forEach((query, t) => {
        const column = query < 0 ? -1 : result.heaviest!.column[t]!;
        if (column < 0 || result.heaviest!.mass[t]! <= 0) return;
        heaviest.key[head * queries + query] =
          tiles.keys[Math.floor(t / tiles.rows) * tiles.columns + column]!;
        heaviest.mass[head * queries + query] = result.heaviest!.mass[t]!;
      });
    }
  }
  return {
    output: outputs.output,
    lse: outputs.lse,
    pairs,
    row(head, query) {
      const at = groups.findIndex(({ from, rows }) => query >= from && query < from + rows);
      const { from, to } = visibleKeys(input, query);
      const far = [...chosen[head]![at]!].flatMap(b =>
        Array.from({ length: block }, (_, t) => b * block + t),
      );
      const near = Array.from(
        { length: Math.max(0, to - groups[at]!.first) },
        (_, t) => groups[at]!.first + t,
      );
      return sparseRow(
        input,
        head,
        query,
        [...far, ...near].filter(key => key >= from && key < to),
      );
    },
    extra: {
      heaviest_key: { type: 'int32', data: heaviest.key, dims: [heads, queries] },
      heaviest_mass: { type: 'float32', data: heaviest.mass, dims: [heads, queries] },
    },
  };
}

/** Queries of one block of positions each. */
function groupsOf({ queries, keys }: CoreInput, { block, recent }: BlockSearch): Omit<Served, 'found'>[] {
  const shift = keys - queries;
  const groups: Omit<Served, 'found'>[] = [];
  for (let from = 0; from < queries;) {
    const own = Math.floor((from + shift) / block);
    const to = Math.min(queries, (own + 1) * block - shift);
    const before = Math.max(0, own - recent);
    groups.push({ from, rows: to - from, before, first: Math.max(0, before * block) });
    from = to;
  }
  return groups;
}

/** Batches of groups: the searched keys in the first columns, the others behind them. */
function* tilesOf(
  input: CoreInput,
  head: number,
  served: readonly Served[],
  { block, blocks, recent }: BlockSearch,
  offsets: OffsetTable,
  pairs: Float64Array,
): Generator<Tiles> {
  const far = Math.min(blocks, Math.ceil(input.keys / block)) * block;
  const columns = far + (recent + 1) * block;
  const atOnce = Math.max(1, Math.floor(BATCH_ELEMENTS / (block * columns)));
  for (let from = 0; from < served.length; from += atOnce) {
    const batch = served.slice(from, from + atOnce);
    const tiles: Tiles = {
      head,
      rows: block,
      columns,
      queries: new Int32Array(batch.length * block).fill(-1),
      keys: new Int32Array(batch.length * columns).fill(-1),
      bias: new Float32Array(batch.length * block * columns).fill(MASKED),
      // Heads that look at nothing rest on the first key: it is no find.
      watched: new Float32Array(batch.length * far),
    };
    batch.forEach((group, g) => {
      for (let r = 0; r < group.rows; r++) tiles.queries[g * block + r] = group.from + r;
      const at = g * columns;
      group.found.forEach((b, t) => {
        for (let key = 0; key < block; key++) {
          tiles.keys[at + t * block + key] = b * block + key;
          tiles.watched![g * far + t * block + key] = b * block + key > 0 ? 1 : 0;
        }
      });
      const last = Math.min(input.keys, group.from + group.rows + input.keys - input.queries);
      for (let key = group.first; key < last; key++) tiles.keys[at + far + key - group.first] = key;
      pairs[head]! += fill(input, group, tiles, g, far, offsets);
    });
    yield tiles;
  }
}

/** Bias of one group's pairs; returns how many there are. */
function fill(
  input: CoreInput,
  { from, rows, found }: Served,
  { keys, columns, rows: height, bias }: Tiles,
  g: number,
  far: number,
  { table, base }: OffsetTable,
): number {
  const masked = MASKED;
  const shift = input.keys - input.queries;
  const whole = input.rule.bias === null && !hidesByPlace(input.rule) && input.rule.mask.window === null;
  const searched = found.length * height;
  let pairs = 0;
  for (let r = 0; r < rows; r++) {
    const position = from + r + shift;
    const row = (g * height + r) * columns;
    // Without a bias every key of an earlier block counts in full.
    if (whole) {
      bias!.fill(0, row, row + searched);
      pairs += searched;
    }
    for (let c = whole ? far : 0; c < columns; c++) {
      const key = keys[g * columns + c]!;
      if (key < 0) continue;
      const value = table[key - position + base]!;
      if (value === masked) continue;
      bias![row + c] = value;
      pairs++;
    }
  }
  return pairs;
}
