import type { CoreInput, MaskRule } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { someHeads } from '../attention/kernels/subset';
import type { AttendContext } from '../attention/mechanism';
import { numberOf } from '../../shared/setting';
import {
  addOpaque,
  BATCH_ELEMENTS,
  offsetTable,
  Outputs,
  runTiles,
  type Tiles,
} from '../attention/kernels/tiles';
import type { FlashIo } from '../../shared/protocol/engine';
import type { Lens } from './lens';

/**
 * FlashAttention (Dao et al., 2022): the same attention, computed in tiles that fit fast memory, so that scores and
 * weights are never written out. What changes is the traffic with slow memory, counted here as Algorithm 1 has it.
 */
export const flash: Lens<'flash'> = {
  name: 'flash',
  title: 'FlashAttention',
  paper:
    'Dao et al., FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness, 2022, Algorithm 1 and Theorem 2',
  parameters: [
    {
      name: 'sram',
      type: 'integer',
      default: 50_000,
      minimum: 64,
      description: 'Numbers that fast memory holds (an A100 has 192 KB per processor: 49,152 in 32 bits).',
    },
  ],

  async look(analysis, params, { core, head, signal }) {
    const { input, output } = await analysis.tensors(core, signal);
    const alone = someHeads(input, [head]);
    const sram = numberOf(params, 'sram');
    const chosen = flashIo(alone, sram);
    const context = analysis.context(signal);
    const checked = beginning(alone, CHECKED);
    const size = input.queries * input.valueDim;
    const dense =
      checked === alone
        ? output.subarray(head * size, (head + 1) * size)
        : await denseOutput(checked, context);
    const check = {
      tokens: checked.keys,
      ...largestDifference(await blockedRun(checked, chosen, context), dense),
    };
    return {
      lens: 'flash',
      tokens: input.keys,
      dim: input.dim,
      valueDim: input.valueDim,
      causal: input.rule.mask.causal,
      chosen,
      curve: memorySizes(alone).map(size => flashIo(alone, size)),
      standard: standardAccesses(alone),
      memory: { standard: input.queries * input.keys, flash: 2 * input.queries },
      check,
    };
  },
};

/** Tokens that the blocked run takes of longer texts: what it shows does not depend on the length. */
const CHECKED = 4096;

/** The head on the beginning of the text. */
function beginning(input: CoreInput, tokens: number): CoreInput {
  const { queries, keys, dim, valueDim } = input;
  // A bias by pair would have to be cut in both directions; cross-attentions have two lengths.
  if (keys <= tokens || queries !== keys || input.rule.bias?.kind === 'opaque') return input;
  return {
    ...input,
    queries: tokens,
    keys: tokens,
    q: input.q.subarray(0, tokens * dim),
    k: input.k.subarray(0, tokens * dim),
    v: input.v.subarray(0, tokens * valueDim),
  };
}

/** B_c = ceil(M / 4d), B_r = min(B_c, d). */
export function blockSizes(sram: number, dim: number): { rows: number; columns: number } {
  const columns = Math.max(1, Math.ceil(sram / (4 * dim)));
  return { rows: Math.min(columns, dim), columns };
}

type Shape = Pick<CoreInput, 'queries' | 'keys' | 'dim' | 'valueDim'> & { rule: { mask: MaskRule } };

/**
 * Algorithm 1's traffic: every block of keys and values is read once; for each of them every block of queries that sees
 * any of it is read, with its output and its two running sums, which are also written.
 */
export function flashIo(input: Shape, sram: number): FlashIo {
  const { queries, keys, dim, valueDim } = input;
  const { rows, columns } = blockSizes(sram, dim);
  let accesses = 0;
  let tiles = 0;
  for (let first = 0; first < keys; first += columns) {
    const last = Math.min(keys, first + columns);
    const { from, to } = blocksSeeing(input, first, last, rows);
    if (to <= from) continue;
    accesses += (last - first) * (dim + valueDim);
    const read = Math.min(queries, to * rows) - from * rows;
    accesses += read * (dim + 2 * valueDim + 4);
    tiles += to - from;
  }
  return {
    sram,
    blockRows: rows,
    blockColumns: columns,
    tiles,
    allTiles: Math.ceil(queries / rows) * Math.ceil(keys / columns),
    accesses,
  };
}

/** Blocks of queries, from .. to-1, of which any query sees any of the keys first .. last-1. */
function blocksSeeing(input: Shape, first: number, last: number, rows: number): { from: number; to: number } {
  const { queries, keys } = input;
  const { causal, window, chunk } = input.rule.mask;
  const shift = keys - queries;
  let from = causal ? first - shift : 0;
  let to = queries;
  if (window) {
    from = Math.max(from, first - window.after - shift);
    to = Math.min(to, last - 1 + window.before - shift + 1);
  }
  if (chunk !== undefined) {
    from = Math.max(from, Math.floor(first / chunk) * chunk - shift);
    to = Math.min(to, Math.ceil(last / chunk) * chunk - shift);
  }
  return { from: Math.floor(Math.max(0, from) / rows), to: Math.ceil(Math.max(0, to) / rows) };
}

/** Algorithm 0: reads Q, K and writes S; reads S and writes P; reads P, V and writes O. */
export function standardAccesses({ queries, keys, dim, valueDim }: Shape): number {
  const map = queries * keys;
  return queries * dim + keys * dim + map + 2 * map + map + keys * valueDim + queries * valueDim;
}

/** From a block of a single key to all keys at once, two steps to an octave. */
function memorySizes({ dim, keys }: Shape): number[] {
  const sizes: number[] = [];
  for (let size = 4 * dim; size < 8 * dim * keys; size *= Math.SQRT2) sizes.push(Math.round(size));
  return sizes;
}

/**
 * The head computed tile by tile in that order: each tile's softmax on its own, put together by running maxima and
 * sums as in Algorithm 1, lines 10 to 13 (a tile's log-sum-exp takes the place of maximum and sum).
 */
export async function blockedRun(
  input: CoreInput,
  { blockRows: rows, blockColumns: columns }: Pick<FlashIo, 'blockRows' | 'blockColumns'>,
  context: AttendContext,
): Promise<Float32Array> {
  const { queries, keys } = input;
  const outputs = new Outputs(input);
  const { table, base } = offsetTable(input, 0);
  const perBatch = Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
  for (let first = 0; first < keys; first += columns) {
    const last = Math.min(keys, first + columns);
    const { from, to } = blocksSeeing(input, first, last, rows);
    for (let block = from; block < to; block += perBatch) {
      const count = Math.min(perBatch, to - block);
      const tiles: Tiles = {
        head: 0,
        rows,
        columns: last - first,
        queries: Int32Array.from({ length: count * rows }, (_, t) => {
          const query = block * rows + t;
          return query < queries ? query : -1;
        }),
        keys: Int32Array.from({ length: count * (last - first) }, (_, t) => first + (t % (last - first))),
        bias: new Float32Array(count * rows * (last - first)),
      };
      tiles.queries.forEach((query, r) => {
        // Rows of padding see nothing of their own: any key's bias will do, the result is thrown away.
        const at = first - (Math.max(0, query) + keys - queries) + base;
        tiles.bias!.set(table.subarray(at, at + last - first), r * (last - first));
      });
      addOpaque(input, tiles);
      outputs.merge(tiles, await runTiles(input, tiles, context));
    }
  }
  return outputs.output;
}

function largestDifference(
  a: Float32Array,
  b: Float32Array,
): { maxDifference: number; largest: number; relative: number } {
  let maxDifference = 0;
  let largest = 0;
  for (let t = 0; t < a.length; t++) {
    maxDifference = Math.max(maxDifference, Math.abs(a[t]! - b[t]!));
    largest = Math.max(largest, Math.abs(b[t]!));
  }
  return { maxDifference, largest, relative: largest > 0 ? maxDifference / largest : maxDifference };
}
