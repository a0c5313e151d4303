import { openStretches } from './blocked';
import { FAR_BIAS, visibleKeys, type CoreInput, type ScoreRule, type Stretch } from '../core';

/**
 * Geometry of the dense core: blocks of query rows, each against the stretch of keys that any of its rows may see.
 *
 * Rows of a block are handed to ONNX Runtime last query first. Then row r sees the key at offset o = key - position in
 * column o + (last position - first key) - r: flattened and re-read with one column less, every offset stands in one
 * column, for all rows (the trick of Transformer-XL's relative shift, backwards). Measures by distance need no gather.
 */
export interface Block {
  /** First query and number of queries. */
  from: number;
  rows: number;
  /** The queries where they are not consecutive, ascending. */
  picked?: Int32Array;
  /** Position of the first and the last query. */
  firstPosition: number;
  lastPosition: number;
  /** First key (may lie before the keys: padding) and number of keys, padding included. */
  firstKey: number;
  columns: number;
  /** Chunks of CHUNK offsets before offset 0 and from it on, at least 1 each; 0 in blocks without relative layout. */
  before: number;
  after: number;
}

/** Offsets are summed in chunks of this many. */
export const CHUNK = 32;

/** The query of a row. */
const queryOf = ({ from, rows, picked }: Block, row: number): number =>
  picked ? picked[rows - 1 - row]! : from + rows - 1 - row;

/** The queries of all rows, last query first. */
export function queriesOf(block: Block): Int32Array {
  return Int32Array.from({ length: block.rows }, (_, row) => queryOf(block, row));
}

/** Additive mask of hidden keys. Finite, so that 0 * score stays 0 and rows without keys stay finite. */
export const HIDDEN = -1e30;

/** What K and V need before and after, as rows of padding, so that every aligned block lies within them. */
export function padding(input: CoreInput, rows: number): { front: number; back: number } {
  return { front: 2 * CHUNK + Math.max(0, input.queries - input.keys), back: rows + 2 * CHUNK };
}

/**
 * The blocks of a core, `rows` queries each. Blocks none of whose rows sees a key are left out.
 * `relative`: columns are laid out for reading by offset, which takes some columns of padding.
 */
export function* planBlocks(input: CoreInput, rows: number, relative: boolean): Generator<Block> {
  for (let from = 0; from < input.queries; from += rows) {
    const block = planBlock(input, from, Math.min(rows, input.queries - from), relative);
    if (block) yield block;
  }
}

export function planBlock(input: CoreInput, from: number, rows: number, relative: boolean): Block | null {
  const firstPosition = from + input.keys - input.queries;
  const lastPosition = firstPosition + rows - 1;
  let firstKey = Infinity;
  let lastKey = -Infinity;
  let furthest = 0;
  for (let i = from; i < from + rows; i++) {
    const visible = visibleKeys(input, i);
    if (visible.from === visible.to) continue;
    firstKey = Math.min(firstKey, visible.from);
    lastKey = Math.max(lastKey, visible.to - 1);
    furthest = Math.max(furthest, visible.to - 1 - (firstPosition + i - from));
  }
  if (lastKey < 0) return null;
  const shape = { from, rows, firstPosition, lastPosition };
  if (!relative) return { ...shape, firstKey, columns: lastKey + 1 - firstKey, before: 0, after: 0 };
  const before = Math.max(1, Math.ceil((lastPosition - firstKey) / CHUNK));
  const after = Math.floor(furthest / CHUNK) + 1;
  return {
    ...shape,
    firstKey: lastPosition - before * CHUNK,
    columns: (before + after) * CHUNK + 1,
    before,
    after,
  };
}

/** Some queries, ascending, against those of `keys` that any of them may see. */
export function planPicked(input: CoreInput, picked: Int32Array, keys: Stretch): Block | null {
  let firstKey = Infinity;
  let endKey = -Infinity;
  for (const query of picked) {
    const visible = visibleKeys(input, query);
    const [from, to] = [Math.max(keys.from, visible.from), Math.min(keys.to, visible.to)];
    if (from >= to) continue;
    firstKey = Math.min(firstKey, from);
    endKey = Math.max(endKey, to);
  }
  if (endKey < 0) return null;
  const shift = input.keys - input.queries;
  return {
    from: picked[0]!,
    rows: picked.length,
    picked,
    firstPosition: picked[0]! + shift,
    lastPosition: picked.at(-1)! + shift,
    firstKey,
    columns: endKey - firstKey,
    before: 0,
    after: 0,
  };
}

/** What is added to a block's scores, and which rows see nothing at all. */
export interface Additive {
  /** [planes, rows, columns], rows last query first; null = nothing to add. */
  data: Float32Array | null;
  /** In place of `data`, what a graph makes it of itself: nothing of it is [rows, columns]. */
  parts: AdditiveParts | null;
  /** 1, or the number of heads asked for when the bias differs by head. */
  planes: number;
  /** [planes, rows]: keys each row sees, rows last query first. */
  visible: Int32Array;
  /** [planes, rows]: what was taken from a row of an opaque bias far from 0; belongs to the log-sum-exps. */
  shift: Float64Array | null;
}

/** What is added to a block where each row sees one stretch of the columns and a bias depends on the offset alone. */
export interface AdditiveParts {
  /** [rows] the first column that each row sees, and the last. */
  first: Int32Array;
  last: Int32Array;
  /** [planes, entries]: what column c has added in row r stands at c + r; null = no bias. */
  byOffset: Float32Array | null;
}

/**
 * Mask and bias of a block for heads `head` .. `head + count - 1`. `room`: where they are written. `inGraph`: the graph shall make them
 * itself where it can, since [planes, rows, columns] would have to be brought to a device.
 */
export function additiveOf(
  input: CoreInput,
  block: Block,
  head: number,
  count: number,
  room: (length: number) => Float32Array = length => new Float32Array(length),
  inGraph = false,
): Additive {
  const { bias } = input.rule;
  const planes = differsByHead(input.rule) ? count : 1;
  const { rows, columns, firstKey, lastPosition } = block;
  const shown = { from: firstKey, to: firstKey + columns };
  const visible = new Int32Array(planes * rows);
  if (bias === null && seesAll(input, block)) {
    return { data: null, parts: null, planes, visible: visible.fill(columns), shift: null };
  }
  const parts = inGraph ? partsOf(input, block, head, planes, visible) : null;
  if (parts) return { data: null, parts, planes, visible, shift: null };
  const data = room(planes * rows * columns).fill(HIDDEN);
  const hidden = Math.fround(HIDDEN);
  const shift = bias?.kind === 'opaque' ? new Float64Array(planes * rows) : null;
  for (let plane = 0; plane < planes; plane++) {
    const byOffset =
      bias === null || bias.kind === 'opaque' ? null : biasByOffset(input, block, head + plane);
    const hides = byOffset?.includes(hidden) ?? false;
    for (let r = 0; r < rows; r++) {
      const query = queryOf(block, r);
      const behind = lastPosition - (query + input.keys - input.queries);
      const at = (plane * rows + r) * columns;
      const row = data.subarray(at, at + columns);
      const open = openStretches(input, head + plane, query);
      let seen = 0;
      for (const { from, to } of within(open, shown)) {
        const first = from - firstKey;
        const last = to - firstKey;
        if (bias === null) row.fill(0, first, last);
        else if (byOffset) row.set(byOffset.subarray(first + behind, last + behind), first);
        seen += to - from;
        // A table may hide offsets (a window of each head's own).
        if (hides) for (let c = first; c < last; c++) if (row[c] === hidden) seen--;
      }
      if (bias?.kind === 'opaque') {
        const copied = copyOpaque(input, head + plane, query, open, shown, row);
        seen = copied.seen;
        shift![plane * rows + r] = copied.shift;
      }
      visible[plane * rows + r] = seen;
    }
  }
  return { data, parts: null, planes, visible, shift };
}

/** Counts in `visible` what each row sees; null where a row may see other than one stretch, or a bias depends on more than the offset. */
function partsOf(
  input: CoreInput,
  block: Block,
  head: number,
  planes: number,
  visible: Int32Array,
): AdditiveParts | null {
  const { bias, blocked, mask } = input.rule;
  if (blocked || mask.streaming || bias?.kind === 'opaque' || block.picked) return null;
  const { rows, columns, firstKey } = block;
  const tables = bias
    ? Array.from({ length: planes }, (_, plane) => biasByOffset(input, block, head + plane))
    : [];
  // A table may hide offsets (a window of each head's own).
  if (tables.some(table => table.includes(Math.fround(HIDDEN)))) return null;
  const [first, last] = [new Int32Array(rows), new Int32Array(rows)];
  for (let r = 0; r < rows; r++) {
    const { from, to } = visibleKeys(input, queryOf(block, r));
    first[r] = Math.max(from, firstKey) - firstKey;
    last[r] = Math.min(to, firstKey + columns) - 1 - firstKey;
    const seen = Math.max(0, last[r]! + 1 - first[r]!);
    for (let plane = 0; plane < planes; plane++) visible[plane * rows + r] = seen;
  }
  const byOffset = bias && new Float32Array(planes * tables[0]!.length);
  tables.forEach((table, plane) => byOffset!.set(table, plane * table.length));
  return { first, last, byOffset };
}

/** Whether mask and bias of a block are not the same for all heads. */
export function differsByHead({ bias, blocked }: ScoreRule): boolean {
  if (blocked?.some(({ head }) => head !== null)) return true;
  return bias !== null && !(bias.kind === 'opaque' && bias.heads === 1);
}

/** What of some stretches lies in another one. */
function within(stretches: readonly Stretch[], { from, to }: Stretch): Stretch[] {
  return stretches.flatMap(one => {
    const [first, end] = [Math.max(one.from, from), Math.min(one.to, to)];
    return first < end ? [{ from: first, to: end }] : [];
  });
}

/** True when every row sees every column; padding is seen by none. */
function seesAll(input: CoreInput, block: Block): boolean {
  const { rows, firstKey, columns } = block;
  if (input.rule.blocked || input.rule.mask.streaming) return false;
  for (let r = 0; r < rows; r++) {
    const visible = visibleKeys(input, queryOf(block, r));
    if (visible.from > firstKey || visible.to < firstKey + columns) return false;
  }
  return true;
}

/** Bias by offset: entry column + row is what that column adds in that row. */
function biasByOffset(input: CoreInput, block: Block, head: number): Float32Array {
  const { bias } = input.rule;
  const values = new Float32Array(block.columns + block.lastPosition - block.firstPosition + 1);
  const first = block.firstKey - block.lastPosition;
  for (let t = 0; t < values.length; t++) {
    const offset = first + t;
    if (bias?.kind === 'alibi') values[t] = bias.slopes[head]! * offset;
    if (bias?.kind === 'relative') {
      const entry = Math.max(0, Math.min(bias.size - 1, offset - bias.first));
      values[t] = Math.max(HIDDEN, bias.table[head * bias.size + entry]!);
    }
  }
  return values;
}

/**
 * Copies what is shown of one row of an opaque bias, shifted where that is far from 0; returns how many keys it leaves visible. Only
 * -Infinity hides a key: a row whose keys all carry a large negative number is a softmax over them.
 */
function copyOpaque(
  { rule: { bias }, queries, keys }: CoreInput,
  head: number,
  query: number,
  open: readonly Stretch[],
  shown: Stretch,
  row: Float32Array,
): { seen: number; shift: number } {
  if (bias?.kind !== 'opaque') throw new Error('not an opaque bias');
  const at = ((bias.heads === 1 ? 0 : head) * queries + query) * keys;
  let largest = -Infinity;
  for (const { from, to } of open) {
    for (let key = from; key < to; key++) largest = Math.max(largest, bias.data[at + key]!);
  }
  const shift = Math.abs(largest) > FAR_BIAS && largest > -Infinity ? largest : 0;
  let seen = 0;
  for (const { from, to } of within(open, shown)) {
    for (let key = from; key < to; key++) {
      const value = bias.data[at + key]!;
      if (value === -Infinity) continue;
      row[key - shown.from] = Math.max(HIDDEN, value - shift);
      seen++;
    }
  }
  return { seen, shift };
}
