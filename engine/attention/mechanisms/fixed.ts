import { dependsOnPair } from '../kernels/blocked';
import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import type { AttendContext, Mechanism } from '../mechanism';
import { rootOf } from '../parameters';
import { numberOrAuto } from '../../../shared/setting';
import { sparseRow } from '../kernels/rows';
import { geometric, pairsOfShare } from '../kernels/shares';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  offsetTables,
  Outputs,
  runTiles,
  type OffsetTable,
  type Tiles,
} from '../kernels/tiles';
import { lowerBound } from '../../statistics';

/**
 * Sparse Transformer, fixed: the own block, and the last `summary` positions of every block. Done as two sets of
 * tiles, the own block and the summary columns of the other blocks, so that no pair counts twice.
 */
export const fixed: Mechanism = {
  info: {
    name: 'fixed',
    title: 'Fixed blocks',
    label: 'fixed',
    hue: '#e15759',
    summary: 'Every token attends to its own block and to the last tokens of every block.',
    paper:
      'Child et al., Generating Long Sequences with Sparse Transformers, 2019, section 4.3 (fixed attention)',
    parameters: [
      {
        name: 'block',
        type: 'integer',
        default: null,
        defaultRule: 'square root of the tokens',
        minimum: 1,
        description: 'Length of a block in tokens.',
      },
      {
        name: 'summary',
        type: 'integer',
        default: null,
        defaultRule: '4, at most the block',
        minimum: 0,
        description: 'Tokens at the end of each block that every token sees.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'The own block, and the last `summary` tokens of every block, as if these summed it up.',
    rule: '⌊i/block⌋ = ⌊j/block⌋, or j mod block >= block - summary',
    exact: 'Exact. All heads look at the same summary columns; the paper lets heads take different ones.',
    cost: 'About N · (block + summary · N / block) pairs.',
    when: 'Models that were trained to put summaries there. On others it shows how much a head needs its block.',
  },

  examples: [
    { block: 8, summary: 2 },
    { block: 7, summary: 0 },
    { block: 10, summary: 3 },
    { block: 500, summary: 4 },
  ],
  whole: tokens => [
    { block: tokens, summary: 0 },
    { block: 5, summary: 5 },
  ],

  refuses(input, params) {
    const { block, summary } = sizes(input, params);
    return summary > block ? `The summary (${summary}) is longer than the block (${block}).` : null;
  },

  settings(input, share) {
    const limit = pairsOfShare(input, share);
    const step = Math.max(1, Math.floor(input.queries / 256));
    return [1, 4, 16].flatMap(summary => {
      const pairs = (block: number) => {
        let sampled = 0;
        for (let i = 0; i < input.queries; i += step) sampled += countKeys(input, block, summary, i);
        return sampled * step;
      };
      const blocks = geometric(input.keys).filter(block => block > summary && pairs(block) <= limit);
      return blocks.slice(-1).map(block => ({ block, summary }));
    });
  },

  cost(tokens, params, shape) {
    const { block, summary } = sizes({ keys: tokens }, params);
    const columns = summaryColumns(tokens, block, summary).length;
    let pairs = 0;
    for (let start = 0; start < tokens; start += block) {
      const rows = Math.min(block, tokens - start);
      const before = (start / block) * summary;
      const after = columns - columnsBefore(start + rows, block, summary);
      pairs += shape.causal ? (rows * (rows + 1)) / 2 + rows * before : rows * (rows + before + after);
    }
    return pairCost(pairs, shape);
  },

  rule(input, params) {
    const { block, summary } = sizes(input, params);
    return { any: [{ block }, { tail: summary, of: block }] };
  },

  settle: sizes,

  async attend(input, params, context) {
    const { block, summary } = sizes(input, params);
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const columns = summaryColumns(input.keys, block, summary);
    for (let head = 0; head < input.heads; head++) {
      await attendOwnBlocks(input, head, block, tables(head), outputs, context);
      await attendSummaries(input, head, block, columns, tables(head), outputs, context);
    }
    let pairs = 0;
    for (let i = 0; i < input.queries; i++) pairs += countKeys(input, block, summary, i);
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs: new Float64Array(input.heads).fill(pairs),
      row: (head, query) => sparseRow(input, head, query, fixedKeys(input, block, columns, query)),
      extra: {},
    };
  },
};

function sizes(
  input: Pick<CoreInput, 'keys'>,
  params: Parameters<Mechanism['attend']>[1],
): { block: number; summary: number } {
  const block = numberOrAuto(params, 'block', rootOf(input.keys));
  return { block, summary: numberOrAuto(params, 'summary', Math.min(4, block)) };
}

function summaryColumns(keys: number, block: number, summary: number): Int32Array {
  const columns: number[] = [];
  for (let start = 0; start < keys; start += block) {
    for (let key = start + block - summary; key < Math.min(keys, start + block); key++) columns.push(key);
  }
  return Int32Array.from(columns);
}

/** How many summary columns are before position `end`. */
function columnsBefore(end: number, block: number, summary: number): number {
  const rest = end % block;
  return Math.floor(end / block) * summary + Math.max(0, rest - (block - summary));
}

function ownBlock(input: CoreInput, block: number, query: number): { from: number; to: number } {
  const from = Math.floor((query + input.keys - input.queries) / block) * block;
  return { from, to: Math.min(input.keys, from + block) };
}

function* fixedKeys(input: CoreInput, block: number, columns: Int32Array, query: number): Generator<number> {
  const own = ownBlock(input, block, query);
  for (const key of columns) if (key < own.from) yield key;
  for (let key = own.from; key < own.to; key++) yield key;
  for (const key of columns) if (key >= own.to) yield key;
}

function countKeys(input: CoreInput, block: number, summary: number, query: number): number {
  const { from, to } = visibleKeys(input, query);
  const own = ownBlock(input, block, query);
  const between = (a: number, b: number) =>
    b > a ? columnsBefore(b, block, summary) - columnsBefore(a, block, summary) : 0;
  return (
    Math.max(0, Math.min(to, own.to) - Math.max(from, own.from)) +
    between(from, Math.min(to, own.from)) +
    between(Math.max(from, own.to), to)
  );
}

/** Rows of one tile of the own-block part. */
const ROWS = 128;

async function attendOwnBlocks(
  input: CoreInput,
  head: number,
  block: number,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const { keys, queries } = input;
  const shift = keys - queries;
  for (let at = 0; at < block; at += ROWS) {
    const columns = input.rule.mask.causal ? Math.min(block, at + ROWS) : block;
    const rows = Math.min(ROWS, block - at);
    const perBatch = Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
    const starts: number[] = [];
    for (let start = Math.floor(shift / block) * block; start < keys; start += block) {
      if (start + at < keys && start + at + rows > shift) starts.push(start);
    }
    const bias = new Float32Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) bias[r * columns + c] = clamped(offsets, c - at - r);
    }
    const whole = (start: number) =>
      start >= 0 && start + at >= shift && start + Math.max(columns, at + rows) <= keys;
    for (let t = 0; t < starts.length;) {
      let end = t + 1;
      if (whole(starts[t]!) && !dependsOnPair(input.rule)) {
        while (end < starts.length && end - t < perBatch && whole(starts[end]!)) end++;
      }
      const batch = starts.slice(t, end);
      const tiles: Tiles = {
        head,
        rows,
        columns,
        queries: ranges(batch, at - shift, rows, queries),
        keys: ranges(batch, 0, columns, keys),
        bias,
      };
      if (batch.length === 1) {
        const own = (tiles.bias = bias.slice());
        tiles.keys.forEach((key, c) => {
          if (key < 0) for (let r = 0; r < rows; r++) own[r * columns + c] = MASKED;
        });
        addOpaque(input, tiles);
      }
      await outputs.add(tiles, context);
      t = end;
    }
  }
}

/** Offsets that occur in no pair (rows of padding) are masked. */
function clamped({ table, base }: OffsetTable, offset: number): number {
  return table[offset + base] ?? MASKED;
}

/** For each start the ids start + shift .. + length; those outside 0 .. limit are -1. */
function ranges(starts: number[], shift: number, length: number, limit: number): Int32Array {
  const ids = new Int32Array(starts.length * length);
  starts.forEach((start, s) => {
    for (let t = 0; t < length; t++) {
      const id = start + shift + t;
      ids[s * length + t] = id >= 0 && id < limit ? id : -1;
    }
  });
  return ids;
}

/** Queries of whole blocks against the summary columns of all other blocks. */
async function attendSummaries(
  input: CoreInput,
  head: number,
  block: number,
  columns: Int32Array,
  { table, base }: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const { keys, queries, rule } = input;
  const { causal, window } = rule.mask;
  const shift = keys - queries;
  const opaque = dependsOnPair(rule);
  const core = opaque ? input : columnsOnly(input, columns);
  const step = block >= ROWS ? block : Math.floor(ROWS / block) * block;
  for (let start = Math.floor(shift / block) * block; start < keys; start += step) {
    const end = Math.min(keys, start + step);
    // Under a causal mask the columns of the last block of these rows are seen by nobody outside it.
    const seen = causal ? lowerBound(columns, Math.floor((end - 1) / block) * block) : columns.length;
    if (seen === 0) continue;
    const rowsAtOnce = Math.max(1, Math.min(end - start, Math.floor((2 * BATCH_ELEMENTS) / seen)));
    // Rows of one block see all columns of the blocks before it: then there is nothing to mask.
    const all = causal && step === block && rule.bias === null && window === null && !opaque;
    for (let from = Math.max(start, shift); from < end; from += rowsAtOnce) {
      const rows = Math.min(rowsAtOnce, end - from);
      const tiles: Tiles = {
        head,
        rows,
        columns: seen,
        queries: Int32Array.from({ length: rows }, (_, r) => from + r - shift),
        keys: opaque ? columns.slice(0, seen) : Int32Array.from({ length: seen }, (_, c) => c),
        bias: all ? null : new Float32Array(rows * seen),
      };
      for (let r = 0; r < rows && tiles.bias; r++) {
        const position = from + r;
        const own = Math.floor(position / block) * block;
        for (let c = 0; c < seen; c++) {
          const key = columns[c]!;
          const hidden = key >= own && key < own + block;
          tiles.bias[r * seen + c] = hidden ? MASKED : table[key - position + base]!;
        }
      }
      addOpaque(input, tiles);
      outputs.merge(tiles, await runTiles(core, tiles, context));
    }
  }
}

/** The input with only some of its keys, in their order. */
function columnsOnly(input: CoreInput, columns: Int32Array): CoreInput {
  const { kvHeads, keys } = input;
  const pick = (data: Float32Array, width: number) => {
    const rows = new Float32Array(kvHeads * columns.length * width);
    for (let h = 0; h < kvHeads; h++) {
      columns.forEach((key, c) => {
        const from = (h * keys + key) * width;
        rows.set(data.subarray(from, from + width), (h * columns.length + c) * width);
      });
    }
    return rows;
  };
  return { ...input, keys: columns.length, k: pick(input.k, input.dim), v: pick(input.v, input.valueDim) };
}
